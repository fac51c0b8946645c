"""What one incarnation may do with its messages, whether it is passive in between or not: said with plain lists.

It begins with each message once, in the order in which they were sent, and with one at a time. It may pass over a call
whose caller has gone, and nothing else. It goes passive only when nothing waits, and comes back with what it had. Once it
has been ended it begins with nothing more.
"""

from dataclasses import dataclass, field


@dataclass
class Life:
    """One incarnation.

    Attributes:
        waiting: numbers of the messages that were sent and not begun, in order.
        late: numbers of those on a timer, which arrive at a time of their own.
        calls: which of all are calls.
        in_hand: the message being handled.
        notes: the messages handled, in order.
        passed_over: the calls it did not begin with.
        left: what it has left on going passive.
        rests: how often it has gone passive.
        held: whether it is suspended.
        over: whether it has been ended.
    """

    waiting: list[int] = field(default_factory=list)
    late: set[int] = field(default_factory=set)
    calls: set[int] = field(default_factory=set)
    in_hand: int | None = None
    notes: list[int] = field(default_factory=list)
    passed_over: set[int] = field(default_factory=set)
    left: tuple[int, ...] | None = None
    rests: int = 0
    held: bool = False
    over: bool = False

    # --- the senders

    def send(self, number: int, *, call: bool = False) -> None:
        """A message has come in."""
        self.waiting.append(number)
        if call:
            self.calls.add(number)

    def send_later(self, number: int) -> None:
        """A message will come in."""
        self.late.add(number)

    # --- the actor

    def begin(self, number: int) -> None:
        """It takes a message up."""
        assert self.in_hand is None, f"two at a time: {self.in_hand} and {number}"
        assert self.left is None, f"{number} is handled by an actor that is passive"
        assert not self.held, f"{number} is handled while the actor is suspended"
        assert not self.over, f"{number} is handled after the end"
        self.in_hand = number
        if number in self.late:
            self.late.remove(number)
            return
        assert number in self.waiting, f"{number} was never sent, or is handled again"
        position = self.waiting.index(number)
        overtaken = self.waiting[:position]
        assert set(overtaken) <= self.calls, f"{number} has overtaken {overtaken}"
        self.passed_over.update(overtaken)
        del self.waiting[: position + 1]

    def finish(self, number: int) -> int:
        """It is done with the message in hand; the answer is how many it has handled."""
        assert self.in_hand == number
        self.in_hand = None
        self.notes.append(number)
        return len(self.notes)

    def passivate(self) -> tuple[int, ...]:
        """It is asked what it wants to leave."""
        assert self.in_hand is None
        assert not self.held
        assert set(self.waiting) <= self.calls, f"passive, while {self.waiting} wait"
        return tuple(self.notes)

    def rest(self, left: tuple[int, ...]) -> None:
        """It is passive, and was not a moment ago."""
        self.left = left
        self.rests += 1

    def activate(self, state: tuple[int, ...]) -> None:
        """It lives again."""
        assert not self.over
        assert self.left == state == tuple(self.notes), "somebody else's state, or an old one"
        self.left = None

    # --- its end

    def end(self) -> None:
        """Somebody has ended it."""
        self.over = True

    def check_quiet(self) -> None:
        """See that nothing was forgotten, when there has been time for everything."""
        if not self.over:
            assert self.in_hand is None
            assert self.late == set()
            assert set(self.waiting) <= self.calls, f"{self.waiting} were never handled"
            self.passed_over.update(self.waiting)

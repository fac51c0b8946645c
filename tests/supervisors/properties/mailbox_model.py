"""What a mailbox must do, said once more with plain lists.

One actor, which keeps every message in hand until it is told to take the next. The model says, after every step, what
is in hand, what waits and in which order, who stands in line, and what each sender has been told.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from supervisors._child_spec import Overflow

Lane: TypeAlias = Literal["cast", "send", "signal", "call", "wait"]
Errand: TypeAlias = Literal["look", "suspend", "resume"]


@dataclass(eq=False)
class Letter:
    """A message; one whose sender has gone is `void`."""

    number: int
    lane: Lane
    deadline: float = 0.0
    void: bool = False


@dataclass
class MailboxModel:
    """An actor, its mailbox and its senders.

    Attributes:
        begun: the numbers of all messages it has begun with, in order.
        told: what the sender of a message, or of a system request, was told in the end, by number.
        dropped: how many messages found no room.
        buried: how many messages it took to its grave unread.
    """

    capacity: int
    overflow: Overflow
    now: float = 0.0
    alive: bool = True
    ending: bool = False
    draining: bool = False
    suspended: bool = False
    in_hand: Letter | None = None
    queue: list[Letter] = field(default_factory=list)
    line: list[Letter] = field(default_factory=list)
    errands: list[tuple[int, Errand]] = field(default_factory=list)
    begun: list[int] = field(default_factory=list)
    told: dict[int, str] = field(default_factory=dict)
    dropped: int = 0
    buried: int = 0

    # --- what happens

    def arrive(self, letters: list[Letter]) -> None:
        """Messages come in, before the actor can look at any of them."""
        for letter in letters:
            self._arrive(letter)
        self._work()

    def ask(self, number: int, errand: Errand) -> None:
        """A system request comes in."""
        self.errands.append((number, errand))
        self._work()

    def take(self) -> None:
        """The actor is done with what it has in hand."""
        done, self.in_hand = self.in_hand, None
        if done is not None and done.lane == "call":
            self.told.setdefault(done.number, "answered")
        self._work()

    def cancel(self, letter: Letter) -> None:
        """The sender stops waiting."""
        self.told.setdefault(letter.number, "cancelled")
        self._leave(letter)

    def pause(self, seconds: float) -> None:
        """Time passes, and with it deadlines."""
        self.now += seconds
        for letter in self.waiting():
            if letter.deadline <= self.now:
                started = letter is self.in_hand
                self.told[letter.number] = f"timeout, started: {started}" if letter.lane == "call" else "False"
                self._leave(letter)

    def kill(self) -> None:
        """The actor dies at once."""
        if self.in_hand is not None and self.in_hand.lane == "call":
            self.told.setdefault(self.in_hand.number, "down, started: True")
        for letter in [*self.queue, *self.line]:
            if letter.lane == "call":
                self.told.setdefault(letter.number, "down, started: False")
            elif letter in self.line:
                self.told[letter.number] = "False"
            elif letter.lane != "signal":
                self.buried += 1
        for number, _ in self.errands:
            self.told[number] = "down, started: False"
        self.alive, self.in_hand, self.queue, self.line, self.errands = False, None, [], [], []

    def stop(self) -> None:
        """The actor is asked to end, which it does when nothing is in hand."""
        self.ending = True
        self._work()

    def drain(self) -> None:
        """The actor is asked to take in nothing more, and to end when nothing is left."""
        self.draining = True
        for letter in self.line:
            self.dropped += letter.lane == "call"
            self.told[letter.number] = "down, started: False" if letter.lane == "call" else "False"
        self.line = []
        self._work()

    def waiting(self) -> list[Letter]:
        """Those whose senders wait to be told something."""
        held = [] if self.in_hand is None else [self.in_hand]
        everybody = [*held, *self.queue, *self.line]
        return [
            letter
            for letter in everybody
            if letter.number not in self.told and (letter.lane == "call" or letter in self.line)
        ]

    # --- what follows

    def _arrive(self, letter: Letter) -> None:
        asks = letter.lane == "call"
        if letter.lane == "signal":
            self.queue.append(letter)
        elif self.draining:
            self.dropped += 1
            self.told[letter.number] = "down, started: False" if asks else "False"
        elif len(self.queue) < self.capacity or self._make_room():
            self.queue.append(letter)
            if not asks:
                self.told[letter.number] = "True"
        elif self.overflow == "block" and letter.lane in ("call", "wait"):
            self.line.append(letter)
        else:
            self.dropped += 1
            self.told[letter.number] = "full" if asks else str(self.overflow.startswith("drop"))

    def _make_room(self) -> bool:
        oldest = next((letter for letter in self.queue if letter.lane != "signal"), None)
        if self.overflow != "drop_oldest" or oldest is None:
            return False
        self.queue.remove(oldest)
        self.dropped += 1
        if oldest.lane == "call":
            self.told.setdefault(oldest.number, "full")
        return True

    def _leave(self, letter: Letter) -> None:
        letter.void = True
        if letter in self.line:
            self.line.remove(letter)

    def _work(self) -> None:
        while self.in_hand is None and self.alive:
            if self.ending:
                self.kill()
                return
            while self.errands:
                self._run(*self.errands.pop(0))
            if self.draining and not self.queue and not self.suspended:
                self.kill()
            if self.suspended or not self.queue:
                return
            letter = self.queue.pop(0)
            while self.line and len(self.queue) < self.capacity:
                admitted = self.line.pop(0)
                self.queue.append(admitted)
                if admitted.lane == "wait":
                    self.told[admitted.number] = "True"
            if not letter.void:
                self.in_hand = letter
                self.begun.append(letter.number)

    def _run(self, number: int, errand: Errand) -> None:
        self.told[number] = "done"
        if errand != "look":
            self.suspended = errand == "suspend"

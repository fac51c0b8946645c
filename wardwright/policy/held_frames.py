"""What is held of an answer: a text of a choice with the frames that it came in, and the tool calls of a choice, whole.

`policy.stream_guard` says what of an answer comes here, and what is promised of it.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from wardwright.domain.policy import Channel, StreamRule
from wardwright.domain.stream import Frame, ToolArguments, ToolCallStart
from wardwright.policy.boundaries import BoundaryGate
from wardwright.policy.text_guard import TextGuard
from wardwright.policy.text_rules import TextRules
from wardwright.policy.text_stages import Triggered
from wardwright.policy.tool_arguments import GuardedArguments
from wardwright.policy.utf8 import utf8_size


class Reframe(Protocol):
    """How the frames of a wire are made again."""

    def with_text(self, frame: Frame, channel: Channel, choice: int, text: str) -> Frame:
        """The frame with other text of one choice and channel, and all else that it says."""
        ...

    def carrying(self, frame: Frame, channel: Channel, choice: int, text: str, *, as_it_came: bool) -> Frame:
        """A frame like this one with nothing but text; `as_it_came` when that is the rest of the frame's own."""
        ...

    def with_arguments(self, frame: Frame, choice: int, arguments: Mapping[int, str]) -> Frame:
        """The frame with other arguments of some tool calls of one choice."""
        ...

    def split(self, frame: Frame) -> tuple[Frame, ...]:
        """The frame in parts, each with content of one choice and channel."""
        ...

    def choice_of(self, frame: Frame) -> int | None:
        """Of which choice the frame is, or the first thing in it; None when it has none."""
        ...

    def without_echoes(self, frame: Frame, channels: Collection[Channel]) -> Frame:
        """The frame without what has text of these channels where no rule reads it."""
        ...


class Account(msgspec.Struct):
    """Where the bytes of an answer went, in UTF-8: `generated + inserted = released + rewritten + held`.

    `rewritten` is text that was replaced or dropped, `inserted` what came in its place.
    """

    generated: int = 0
    released: int = 0
    rewritten: int = 0
    inserted: int = 0
    max_held: int = 0

    @property
    def held(self) -> int:
        """What came and neither left nor gave way."""
        return self.generated + self.inserted - self.rewritten - self.released


class Load(msgspec.Struct):
    """How much of the provider's stream is held, in bytes as it came."""

    bytes: int = 0


class _Waiting(NamedTuple):
    """A frame whose text is held, at least the end of it: `text` is that end, `since` when it came, `size` what it counts as held."""

    frame: Frame
    text: str
    since: float
    size: int


class HeldText:
    """One text of a choice: its guard, its gate, and the frames that wait for either."""

    def __init__(
        self,
        channel: Channel,
        choice: int,
        rules: TextRules | None,
        gate: BoundaryGate | None,
        reframe: Reframe,
        account: Account,
        load: Load,
    ) -> None:
        self.channel = channel
        self.choice = choice
        self._guard = None if rules is None else TextGuard(rules)
        self._gate = gate
        self._reframe = reframe
        self._account = account
        self._load = load
        self._waiting: deque[_Waiting] = deque()
        self._may_change = rules is not None and any(stage.changes for stage in rules.stages)
        self._rewritten = 0
        self._inserted = 0

    @property
    def held_since(self) -> float | None:
        """When the oldest of what is held came; None when nothing is."""
        return self._waiting[0].since if self._waiting else None

    def postpone(self, seconds: float) -> None:
        """Take what is held for so much younger."""
        self._waiting = deque(one._replace(since=one.since + seconds) for one in self._waiting)

    @property
    def has_fired(self) -> bool:
        """Whether `taken` has something to tell."""
        return self._guard is not None and bool(self._guard.triggered)

    @property
    def tripped(self) -> StreamRule | None:
        """The rule that ended the answer; one that changes text does so when a part of its match had left before."""
        return None if self._guard is None or self._guard.tripped is None else self._guard.tripped.rule

    def taken(self) -> Sequence[Triggered]:
        """What has fired since this was last asked."""
        guard = self._guard
        if guard is None or not guard.triggered:
            return ()
        fired, guard.triggered = guard.triggered, []
        return fired

    def tell(self, text: str) -> None:
        """Take note of text that has left before."""
        if self._guard is not None:
            self._guard.tell(text)
        if self._gate is not None:
            self._gate.tell(text)

    def take(self, frame: Frame, text: str, now: float, left: list[Frame]) -> None:
        """Take in a frame with its text."""
        released = text if self._guard is None else self._guard.feed(text)
        if self._gate is not None:
            released = self._gate.feed(released)
        size = utf8_size(text)
        self._account.generated += size
        if released == text and not self._waiting and not self._has_changed():
            self._account.released += size
            left.append(frame)
            return
        if len(frame.events) > 1:
            # The role of a choice waits for nothing: clients take its first chunk for its beginning.
            left.append(self._reframe.with_text(frame, self.channel, self.choice, ""))
            frame = self._reframe.carrying(frame, self.channel, self.choice, text, as_it_came=True)
        self._hold(frame, text, now)
        self._settle(released, left)

    def take_last(self, frame: Frame, text: str, now: float, left: list[Frame]) -> None:
        """Take in a frame that has the last of the text and ends its choice."""
        released = text if self._guard is None else self._guard.feed(text)
        if self._gate is not None:
            released = self._gate.feed(released)
        released += self._rest()
        size = utf8_size(text)
        self._account.generated += size
        if released == text and not self._waiting and not self._has_changed():
            self._account.released += size
            left.append(frame)
            return
        carrier = self._reframe.carrying(frame, self.channel, self.choice, text, as_it_came=True)
        self._hold(carrier, text, now)
        self._settle(released, left)
        left.append(self._reframe.with_text(frame, self.channel, self.choice, ""))

    def end(self, left: list[Frame]) -> None:
        """Take in the end of the text."""
        self._settle(self._rest(), left)

    def _hold(self, frame: Frame, text: str, since: float) -> None:
        size = size_of(frame)
        self._load.bytes += size
        self._waiting.append(_Waiting(frame, text, since, size))

    def let_go(self, left: list[Frame], *, mode_opens: bool) -> None:
        """Give up what is held, as far as what holds it fails open."""
        released = "" if self._guard is None else self._guard.let_go()
        if released is None:
            return
        if self._gate is not None:
            released = self._gate.feed(released) + (self._gate.let_go() if mode_opens else "")
        self._settle(released, left)

    def _rest(self) -> str:
        rest = "" if self._guard is None else self._guard.finish()
        return rest if self._gate is None else self._gate.feed(rest) + self._gate.finish()

    def _has_changed(self) -> bool:
        return self._may_change and self._guard is not None and self._guard.rewritten_bytes != self._rewritten

    def _settle(self, released: str, left: list[Frame]) -> None:
        """Let frames go for what is released of their text."""
        self._account.released += utf8_size(released)
        if self._guard is None or not self._has_changed():
            self._let_go(released, left)
            return
        rewritten, inserted = self._guard.rewritten_bytes, self._guard.inserted_bytes
        self._account.rewritten += rewritten - self._rewritten
        self._account.inserted += inserted - self._inserted
        self._rewritten, self._inserted = rewritten, inserted
        self._make_again(released, left)

    def _let_go(self, released: str, left: list[Frame]) -> None:
        """Nothing was changed: frames leave as they came, but for one that may be cut."""
        waiting = self._waiting
        place = 0
        while waiting and len(waiting[0].text) <= len(released) - place:
            first = waiting.popleft()
            self._load.bytes -= first.size
            left.append(first.frame)
            place += len(first.text)
        released = released[place:]
        if released:
            frame, text, since, size = waiting[0]
            left.append(self._reframe.with_text(frame, self.channel, self.choice, released))
            rest = text[len(released) :]
            carrier = self._reframe.carrying(frame, self.channel, self.choice, rest, as_it_came=True)
            waiting[0] = _Waiting(carrier, rest, since, size)

    def _make_again(self, released: str, left: list[Frame]) -> None:
        """Text was changed: which frame had which of it is not known any more."""
        held = ("" if self._gate is None else self._gate.held) + ("" if self._guard is None else self._guard.held)
        waiting, self._waiting = list(self._waiting), deque()
        self._load.bytes -= sum(one.size for one in waiting)
        if released:
            left.append(self._reframe.with_text(waiting[0].frame, self.channel, self.choice, released))
        if held:
            carrier = self._reframe.carrying(waiting[-1].frame, self.channel, self.choice, held, as_it_came=False)
            self._hold(carrier, held, _since(waiting, len(held)))


class HeldCalls:
    """The tool calls of a choice, held whole."""

    def __init__(self, choice: int, rules: TextRules | None, reframe: Reframe, load: Load) -> None:
        self._choice = choice
        self._rules = rules
        self._reframe = reframe
        self._load = load
        self._frames: list[Frame] = []
        self._calls: dict[int, GuardedArguments] = {}
        self._size = 0
        self.broken_by: StreamRule | None = None

    def take(self, frame: Frame) -> list[tuple[int, Sequence[Triggered]]]:
        """Take in a frame; return what it completes, by call."""
        self._frames.append(frame)
        self._load.bytes += size_of(frame)
        fired: list[tuple[int, Sequence[Triggered]]] = []
        for event in frame.events:
            if isinstance(event, ToolCallStart | ToolArguments) and event.call not in self._calls:
                self._calls[event.call] = GuardedArguments(self._rules)
            if isinstance(event, ToolArguments):
                self._size += utf8_size(event.text)
                fired.append((event.call, self._calls[event.call].feed(event.text, is_json=event.is_json)))
        return fired

    def end(self) -> list[tuple[int, Sequence[Triggered]]]:
        """Take in the end of all calls; return what it completes, by call."""
        fired: list[tuple[int, Sequence[Triggered]]] = []
        for call, arguments in self._calls.items():
            fired.append((call, arguments.finish()))
            self.broken_by = self.broken_by or arguments.broken_by
        return fired

    def let_go(self, account: Account, left: list[Frame]) -> None:
        """Let the frames leave, as they came or with the arguments that the rules have made."""
        changed = {call: new for call, arguments in self._calls.items() if (new := arguments.changed) is not None}
        for rewritten, inserted in (arguments.change for arguments in self._calls.values()):
            account.rewritten += rewritten
            account.inserted += inserted
            self._size += inserted - rewritten
        account.released += self._size
        self._load.bytes -= sum(map(size_of, self._frames))
        told: set[int] = set()
        for frame in self._frames:
            touched = {e.call for e in frame.events if isinstance(e, ToolCallStart | ToolArguments)} & changed.keys()
            made = {call: "" if call in told else changed[call] for call in touched}
            told |= touched
            leaving = self._reframe.with_arguments(frame, self._choice, made) if made else frame
            if leaving.events or not made:
                left.append(leaving)


def size_of(frame: Frame) -> int:
    """How much of a stream a frame is, in bytes."""
    return sum(map(len, frame.fields.values()))


def _since(waiting: Sequence[_Waiting], count: int) -> float:
    """When the last so many characters of what waits began to come."""
    for one in reversed(waiting):
        count -= len(one.text)
        if count <= 0:
            return one.since
    return waiting[0].since

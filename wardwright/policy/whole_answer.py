"""Rules over an answer that comes in one piece: the same guard, fed with all of it at once."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from wardwright.domain.policy import Channel
from wardwright.domain.stream import (
    Frame,
    Place,
    Reasoning,
    StreamEvent,
    Text,
    ToolArguments,
    ToolCallStart,
    UsageReport,
)
from wardwright.policy.stream_guard import StreamGuard
from wardwright.policy.stream_rules import StreamRules


class Judged(NamedTuple):
    """What the rules made of an answer: `guard` has what they say of it, `changed` the texts that are others now, by place."""

    guard: StreamGuard
    changed: Mapping[Place, str]


def judge(rules: StreamRules, events: Sequence[StreamEvent]) -> Judged:
    """Apply rules to an answer whose events are whole texts. Purity: pure."""
    guard = StreamGuard(rules, _Bare())
    left = [*guard.feed([Frame({}, (event,)) for event in events], 0.0), *guard.finish(0.0)]
    before, after = _texts(events), _texts([event for frame in left for event in frame.events])
    changed = {place: after.get(place, "") for place, text in before.items() if after.get(place, "") != text}
    return Judged(guard, {} if guard.tripped is not None else changed)


def _texts(events: Sequence[StreamEvent]) -> dict[Place, str]:
    found: dict[Place, str] = {}
    for event in events:
        match event:
            case Text():
                place = Place(event.choice, "text")
            case Reasoning():
                place = Place(event.choice, "reasoning")
            case ToolArguments():
                place = Place(event.choice, "tool_arguments", event.call)
            case _:
                continue
        found[place] = found.get(place, "") + event.text
    return found


class _Bare:
    """`Reframe` of frames that are nothing but their events."""

    def with_text(self, frame: Frame, channel: Channel, choice: int, text: str) -> Frame:
        return _of(channel, choice, text)

    def carrying(self, frame: Frame, channel: Channel, choice: int, text: str, *, as_it_came: bool) -> Frame:
        return _of(channel, choice, text)

    def with_arguments(self, frame: Frame, choice: int, arguments: Mapping[int, str]) -> Frame:
        (event,) = frame.events
        if isinstance(event, ToolCallStart):
            text = arguments[event.call]
            return Frame({}, (event, ToolArguments(choice, event.call, text)) if text else (event,))
        call = event.call if isinstance(event, ToolArguments) else 0
        return Frame({}, (ToolArguments(choice, call, arguments[call]),) if arguments[call] else ())

    def without_echoes(self, frame: Frame, channels: Collection[Channel]) -> Frame:
        return frame

    def split(self, frame: Frame) -> tuple[Frame, ...]:
        return (frame,)

    def choice_of(self, frame: Frame) -> int | None:
        return next((event.choice for event in frame.events if not isinstance(event, UsageReport)), None)


def _of(channel: Channel, choice: int, text: str) -> Frame:
    return Frame({}, ((Text if channel == "text" else Reasoning)(choice, text),))

"""The shape of one streamed answer: which choices began and ended, and what was counted on the way.

`observe` sees every frame once, in order, and hands on what the gateway treats as the answer. The frames it hands on are
complete and say each thing once: every choice begins with its role, a tool call starts once, and usage is reported only when the
answer is over (servers that send running totals send them with every chunk). Fields are never changed, only events.
"""

from collections.abc import Sequence

from wardwright.domain.chat import Usage
from wardwright.domain.stream import (
    Finish,
    Frame,
    Reasoning,
    Start,
    StreamEvent,
    Text,
    ToolArguments,
    ToolCallStart,
    UsageReport,
)
from wardwright.wire.errors import BadAnswer
from wardwright.wire.openai_answer import utf8_length
from wardwright.wire.openai_reframe import likeness

# Every call is remembered, and no model makes nearly so many.
_MAX_CALLS = 10_000


class StreamShape:
    """What is known of one streamed answer so far.

    Args: expected_choices: how many choices the request asked for.
    """

    def __init__(self, expected_choices: int = 1) -> None:
        self.text_bytes = 0
        self.reasoning_bytes = 0
        self.tool_bytes = 0
        self.usage: Usage | None = None
        self._expected_choices = expected_choices
        self._begun: set[int] = set()
        self._finished: dict[int, str] = {}
        self._calls: set[tuple[int, int]] = set()

    @property
    def complete(self) -> bool:
        """Whether every choice that was asked for has ended: nothing but usage can follow, so the stream need not be waited for."""
        return self.may_end and len(self._finished) >= self._expected_choices

    @property
    def may_end(self) -> bool:
        """Whether the stream may end here without having been cut: a choice has begun, and every begun one has ended.

        Weaker than `complete` when the provider gave fewer choices than were asked for.
        """
        return bool(self._begun) and len(self._finished) == len(self._begun)

    @property
    def finish_reasons(self) -> tuple[str, ...]:
        """The finish reasons so far, by choice."""
        return tuple(reason for _, reason in sorted(self._finished.items()))

    def observe(self, frame: Frame) -> Sequence[Frame]:
        """Take the next frame and return it, with a role frame before it where the provider left that out.

        Raises: BadAnswer when the answer has more tool calls than can be kept count of.
        """
        missing: list[int] = []
        kept = [event for event in frame.events if self._admit(event, missing)]
        # A report counts as the answer's own only once the answer is over, which this very frame may have decided.
        if self.usage is not None and not self.may_end:
            kept = [event for event in kept if not isinstance(event, UsageReport)]
        if len(kept) != len(frame.events):
            frame = Frame(frame.fields, tuple(kept), frame.has_echoes)
        return (_role_frame(frame, missing), frame) if missing else (frame,)

    def _admit(self, event: StreamEvent, missing: list[int]) -> bool:
        """Count an event; False when it says again what was said before. A choice that nothing began goes to `missing`."""
        if isinstance(event, UsageReport):
            self.usage = event.usage
            return True
        if event.choice not in self._begun:
            self._begun.add(event.choice)
            if not isinstance(event, Start):
                missing.append(event.choice)
        elif isinstance(event, Start):
            return False
        return self._count(event)

    def _count(self, event: Start | Text | Reasoning | ToolCallStart | ToolArguments | Finish) -> bool:
        match event:
            case Text():
                self.text_bytes += utf8_length(event.text)
            case Reasoning():
                self.reasoning_bytes += utf8_length(event.text)
            case ToolArguments():
                self.tool_bytes += utf8_length(event.text)
            case ToolCallStart():
                if (event.choice, event.call) in self._calls:
                    return False
                if len(self._calls) >= _MAX_CALLS:
                    raise BadAnswer(f"the answer has over {_MAX_CALLS} tool calls")
                self._calls.add((event.choice, event.call))
                self.tool_bytes += utf8_length(event.name)
            case Finish():
                if event.choice in self._finished:
                    return False
                self._finished[event.choice] = event.reason
            case Start():
                pass
        return True


def _role_frame(successor: Frame, choices: Sequence[int]) -> Frame:
    """Make the chunk that begins choices, in the likeness of the chunk it goes before."""
    begun = [
        {"index": choice, "delta": {"role": "assistant", "content": ""}, "finish_reason": None} for choice in choices
    ]
    return Frame(likeness(successor, begun), tuple(Start(choice) for choice in choices))

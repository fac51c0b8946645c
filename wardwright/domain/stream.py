"""The event vocabulary of a streamed answer, shared by every surface and every provider kind.

A provider's bytes become frames. A frame is one upstream event: its fields verbatim (so that an untouched frame is passed on
without loss) and the gateway events it means (so that every rule can read it, whatever wire it came over).
"""

from typing import Literal, NamedTuple

import msgspec

from wardwright.domain.chat import Fields, Usage
from wardwright.domain.policy import Channel


class Start(msgspec.Struct, frozen=True, tag="start"):
    """A choice began: its role is known, nothing of its content."""

    choice: int
    role: str = "assistant"


class Text(msgspec.Struct, frozen=True, tag="text"):
    """Answer text of one choice, as much as one upstream event brought; a refusal is the model's word for not answering."""

    choice: int
    text: str
    is_refusal: bool = False


class Reasoning(msgspec.Struct, frozen=True, tag="reasoning"):
    """Reasoning text of one choice."""

    choice: int
    text: str


class ToolCallStart(msgspec.Struct, frozen=True, tag="tool_call_start"):
    """A tool call of a choice began: `call` is its index in the choice."""

    choice: int
    call: int
    id: str
    name: str


class ToolArguments(msgspec.Struct, frozen=True, tag="tool_arguments"):
    """A piece of a tool call's argument JSON, or of the free text that a custom tool takes."""

    choice: int
    call: int
    text: str
    is_json: bool = True


class UsageReport(msgspec.Struct, frozen=True, tag="usage"):
    """The provider's token counts for the whole answer."""

    usage: Usage


class Finish(msgspec.Struct, frozen=True, tag="finish"):
    """A choice ended, and why."""

    choice: int
    reason: str


class Place(NamedTuple):
    """Where a text stands in an answer; `call` is the tool call's index for tool arguments, and 0 else."""

    choice: int
    channel: Channel
    call: int = 0


ResumedBy = Literal["prefill", "repeat"]
"""How another target goes on with an answer: it is given the beginning, or has to repeat it."""

# named, because each is asked about for every event, and a union is made anew each time
TEXTS = (Text, Reasoning, ToolArguments)
_NO_CONTENT = frozenset({Start, UsageReport})
_FINAL = frozenset({Finish, UsageReport})

StreamEvent = Start | Text | Reasoning | ToolCallStart | ToolArguments | UsageReport | Finish


class Frame(msgspec.Struct, frozen=True):
    """One upstream event: verbatim fields and their meaning. `events` is empty for a frame the vocabulary has no word for.

    `has_echoes` when the fields may have text that no event has: the same text in another form, or sound.
    """

    fields: Fields
    events: tuple[StreamEvent, ...]
    has_echoes: bool = False

    @property
    def is_content(self) -> bool:
        """Whether a client may act on this frame: anything but the bare start of a choice or a usage report."""
        return not _NO_CONTENT.issuperset(map(type, self.events))

    @property
    def is_final(self) -> bool:
        """Whether the frame ends a choice or follows the end: it may leave only after the receipt is closed."""
        return not _FINAL.isdisjoint(map(type, self.events))

"""Going on with an answer that broke off behind its release: what the client has got of it, and another answer that goes on from there.

The client must not be able to tell: it reads one answer, with one beginning, one id and one end. Two ways lead there.

- `prefill`: the target is given the released text as the beginning of its own answer, and what it says comes behind that. White space
  at the end of the text is kept back, since models go on badly from it and some servers refuse it; where the answer says it again,
  it is left out. The rules are told of the released text first, so that they read across the seam.
- `repeat`: the target is asked afresh. The rules read its answer from the beginning, and what they let pass leaves only from where it
  has repeated, character for character, all that had been released. An answer that says anything else is no continuation (`has_strayed`).

Only an answer with one choice can be gone on with, and only up to `LONGEST` bytes. Tool calls are not begun twice: whoever wants to go on
has them held until they are whole, and what ends a choice ends the matter.
"""

from collections.abc import Iterator, Sequence
from io import StringIO
from typing import Protocol

from wardwright.domain.chat import Fields, Usage
from wardwright.domain.policy import Channel
from wardwright.domain.stream import (
    Finish,
    Frame,
    Reasoning,
    ResumedBy,
    Text,
    ToolArguments,
    ToolCallStart,
    UsageReport,
)
from wardwright.policy.utf8 import utf8_size

LONGEST = 1_048_576


class Rejoin(Protocol):
    """How the frames of a wire become those of an answer that another target began."""

    def shared_fields(self, frame: Frame) -> Fields:
        """The fields that all frames of the frame's answer have."""
        ...

    def joined(self, frame: Frame, shared: Fields, spent: Usage | None) -> Frame | None:
        """The frame as one of the answer with these fields, which has begun and has used so much already; None when nothing is left of it."""
        ...

    def with_text(self, frame: Frame, channel: Channel, choice: int, text: str) -> Frame:
        """The frame with other text of one choice and channel, and all else that it says."""
        ...

    def split(self, frame: Frame) -> tuple[Frame, ...]:
        """The frame in parts, each with content of one choice and channel."""
        ...


class Transcript:
    """What the client has been sent of one answer, as far as another can go on from it."""

    def __init__(self, rejoin: Rejoin) -> None:
        self._rejoin = rejoin
        self._texts = _no_texts()
        self._size = 0
        self._is_closed = False
        self.shared: Fields = {}
        self.choice = 0

    @property
    def can_be_continued(self) -> bool:
        """Whether something was released, and nothing that another answer cannot go on from."""
        return self._size > 0 and not self._is_closed

    def note(self, frames: Sequence[Frame]) -> None:
        """Take note of frames that are sent to the client."""
        for frame in frames:
            if not self.shared:
                self.shared = self._rejoin.shared_fields(frame)
            if not self._is_closed:
                self._read(frame)

    def text(self, channel: Channel = "text") -> str:
        """All that was released of a channel."""
        return self._texts[channel].getvalue()

    def size(self, channel: Channel) -> int:
        """How many bytes that is."""
        return utf8_size(self.text(channel))

    def _read(self, frame: Frame) -> None:
        for event in frame.events:
            if isinstance(event, UsageReport):
                continue
            if self._size == 0:
                self.choice = event.choice
            if isinstance(event, ToolCallStart | ToolArguments | Finish) or event.choice != self.choice:
                self._close()
                return
            if isinstance(event, Text | Reasoning):
                self._texts[_channel_of(event)].write(event.text)
                self._size += utf8_size(event.text)
        if self._size > LONGEST:
            self._close()

    def _close(self) -> None:
        self._is_closed = True
        self._texts = _no_texts()


def _no_texts() -> dict[Channel, StringIO]:
    # not universal newlines: what was released is to be repeated to the character
    return {"text": StringIO(newline=""), "reasoning": StringIO(newline="")}


def way_to_resume(transcript: Transcript, *, has_prefill: bool) -> ResumedBy:
    """Decide how a target goes on from what was released. Without text there is nothing that it could be given. Purity: pure."""
    return "prefill" if has_prefill and given_text(transcript) else "repeat"


def given_text(transcript: Transcript) -> str:
    """The beginning of its answer that a target is given."""
    return transcript.text().rstrip()


class Continuation:
    """One answer that goes on from a transcript.

    Frames pass it twice: `arriving` before the rules, `leaving` behind them. `spent` is what the attempts have used whose text the
    client has got; it is added to what this answer reports.
    """

    def __init__(self, transcript: Transcript, by: ResumedBy, spent: Usage | None, rejoin: Rejoin) -> None:
        self._rejoin = rejoin
        self._shared = transcript.shared
        self._spent = spent
        text = transcript.text()
        self.by = by
        self.choice = transcript.choice
        self.released: dict[Channel, str] = {"text": text, "reasoning": transcript.text("reasoning")}
        self._gap = text[len(given_text(transcript)) :] if by == "prefill" else ""
        self._owed: dict[Channel, str] = {c: t for c, t in self.released.items() if t} if by == "repeat" else {}
        self._repeated: dict[Channel, int] = {}
        self.repeated_bytes = 0
        self.has_strayed = False

    @property
    def owes(self) -> bool:
        """Whether something that was released has not been repeated yet."""
        return bool(self._owed)

    def arriving(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """Leave out the white space that the target was not given and says again."""
        return [self._without_gap(frame) for frame in frames] if self._gap else frames

    def leaving(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """Leave out what the client has got already; nothing more leaves once the answer has strayed."""
        left: list[Frame] = []
        for frame in () if self.has_strayed else frames:
            for part in self._parts(frame):
                behind = self._behind_the_seam(part)
                if self.has_strayed:
                    return left
                joined = None if behind is None else self._rejoin.joined(behind, self._shared, self._spent)
                if joined is not None:
                    left.append(joined)
        return left

    def _without_gap(self, frame: Frame) -> Frame:
        for event in frame.events:
            if isinstance(event, Text) and event.choice == self.choice and self._gap:
                same = _common(self._gap, event.text)
                if same:
                    frame = self._rejoin.with_text(frame, "text", event.choice, event.text[same:])
                self._gap = self._gap[same:] if same == len(event.text) else ""
        return frame

    def _parts(self, frame: Frame) -> Iterator[Frame]:
        contents = {type(event) for event in frame.events if isinstance(event, Text | Reasoning | ToolArguments)}
        yield from self._rejoin.split(frame) if self._owed and len(contents) > 1 else (frame,)

    def _behind_the_seam(self, frame: Frame) -> Frame | None:
        """The part of a frame that the client has not got; None when it has all of it."""
        if any(not isinstance(event, UsageReport) and event.choice != self.choice for event in frame.events):
            self.has_strayed = True
            return None
        if not self._owed:
            return frame
        said_new = False
        for event in frame.events:
            if isinstance(event, Text | Reasoning):
                channel = _channel_of(event)
                count = self._take_back(channel, event.text)
                said_new = said_new or count < len(event.text)
                frame = self._rejoin.with_text(frame, channel, event.choice, event.text[count:])
            elif isinstance(event, ToolCallStart | ToolArguments | Finish):
                said_new = True
        self.has_strayed = said_new and self.owes
        return frame if said_new else None

    def _take_back(self, channel: Channel, text: str) -> int:
        """How many characters of a text only repeat what is owed."""
        owed, done = self._owed.get(channel, ""), self._repeated.get(channel, 0)
        count = min(len(text), len(owed) - done)
        if not owed or not owed.startswith(text[:count], done):
            return 0
        self.repeated_bytes += utf8_size(text[:count])
        self._repeated[channel] = done + count
        if done + count == len(owed):
            del self._owed[channel]
        return count


def _channel_of(event: Text | Reasoning) -> Channel:
    return "text" if isinstance(event, Text) else "reasoning"


def _common(one: str, other: str) -> int:
    """How long the beginning is that two texts share."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))

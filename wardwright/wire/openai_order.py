"""The choices of a streamed answer, begun in the order of their index.

Clients number choices by their place in a list, and some fail on one whose lower neighbours have not begun. Yet a choice may be late:
rules hold a tool call until it is whole, a chunk that ends its choice waits for the receipt, and providers have orders of their own. No
choice waits for another here. One of which nothing has left is begun ahead of a higher one, by a chunk with its role and nothing else;
its own role is left out when it comes, for clients would join the two.
"""

from collections.abc import Iterator, Sequence

import msgspec

from wardwright.domain.stream import Frame, Start
from wardwright.wire.openai_reframe import likeness, without_roles

_ROLE = "assistant"
_NULL = msgspec.Raw(b"null")


class _Delta(msgspec.Struct):
    role: str | None = None


class _Choice(msgspec.Struct):
    index: int | None = None
    delta: _Delta | None = None


_CHOICES = msgspec.json.Decoder(list[_Choice] | None)


class ChoiceOrder:
    """The order of one answer's choices, for an answer that was asked for so many; with one there is nothing to put in order."""

    def __init__(self, choices: int) -> None:
        self._choices = choices
        self._begun = 0  # all choices with a lower index
        self._owing: set[int] = set()  # begun here, with their own role still to come

    def arrange(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """Take the next frames for the client; return them with what begins choices in time. All of them leave, and none later."""
        if self._begun == self._choices and not self._owing:
            return frames
        return [made for frame in frames for made in self._arranged(frame)]

    def _arranged(self, frame: Frame) -> Iterator[Frame]:
        entries = _CHOICES.decode(frame.fields.get("choices", _NULL)) or ()
        indexes = [place if entry.index is None else entry.index for place, entry in enumerate(entries)]
        for choice in self._late(indexes):
            self._owing.add(choice)
            yield _opening(frame, choice)
        said_again: dict[int, int] = {}
        for place, (index, entry) in enumerate(zip(indexes, entries, strict=True)):
            if index in self._owing and entry.delta is not None and entry.delta.role:
                self._owing.remove(index)
                said_again[place] = index
        yield _without_roles(frame, said_again) if said_again else frame

    def _late(self, indexes: Sequence[int]) -> range:
        """The choices that must begin before a chunk that has these, one behind the other."""
        first, end = self._begun, self._begun
        for index in indexes:
            if index > self._begun:
                end = min(index, self._choices)
            self._begun = max(self._begun, min(index + 1, self._choices))
        return range(first, end)


def _opening(successor: Frame, choice: int) -> Frame:
    """The chunk that begins a choice, in the likeness of the one it goes before."""
    begun = {"index": choice, "delta": {"role": _ROLE}, "finish_reason": None}
    return Frame(likeness(successor, [begun]), (Start(choice, _ROLE),))


def _without_roles(frame: Frame, of: dict[int, int]) -> Frame:
    """The frame without the roles of some choices: `of` has their indexes, by their places in it."""
    fields = {**frame.fields, "choices": without_roles(frame.fields["choices"], of)}
    choices = of.values()
    events = tuple(event for event in frame.events if not (isinstance(event, Start) and event.choice in choices))
    return Frame(fields, events, frame.has_echoes)

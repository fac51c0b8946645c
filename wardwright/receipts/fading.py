"""What is left of the events between a receipt's opening and its closing one when they are older than such events are kept for.

The opening entry has the decision and every fact that it was made from, the closing one how the request ended and what it came to. Between
them stands what each attempt did, and that fades:

    {…,"seq":3,"at":…,"prev":"…","event":{"type":"event.faded","was":"attempt.finished"},"hash":"<as it was>"}

The entry keeps its number, its time, its links and its own hash, which says nothing of it any more: it is the hash of what was there. The
entry behind it covers that hash, and so on to the closing one. So a chain with faded entries still proves that so many entries stood there,
in this order, and all of what the others say; whoever kept a copy of an entry can show by the hash that it is the one.

Nothing of a person is in such events, so no salt keeps anybody from guessing: models, providers, times, counts, rules and what they made
of an answer, names of tools, a provider's code for how it ended or failed, and never its prose. Of rules that hold once per session the
names stay.

A faded entry is shorter than it was, so that it may take its place.
"""

from collections.abc import Mapping, Sequence

import msgspec

from wardwright.receipts.events import (
    AskedAgain,
    AttemptFinished,
    AttemptStarted,
    Closed,
    Entry,
    Event,
    Faded,
    FadingType,
    NotAskedAgain,
    PassedOver,
    Resumed,
    encode_entry,
)

_TYPES: Mapping[type, FadingType] = {
    AttemptStarted: "attempt.started",
    Resumed: "stream.resumed",
    AttemptFinished: "attempt.finished",
    AskedAgain: "attempt.retry_requested",
    NotAskedAgain: "attempt.retry_refused",
    PassedOver: "target.passed_over",
}
_FADING = frozenset(_TYPES.values())
_FADED = Faded.__struct_config__.tag


def faded(entries: Sequence[Entry]) -> list[bytes]:
    """What is to take the place of those entries of a receipt that fade and have not yet: none while it is open. Purity: pure."""
    if not isinstance(entries[-1].event, Closed):
        return []
    return [
        encode_entry(msgspec.structs.replace(entry, event=Faded(was, _spent(entry.event))))
        for entry in entries
        if (was := _TYPES.get(type(entry.event))) is not None
    ]


def has_faded(event_type: str, was: str, seq: int) -> bool:
    """Whether an entry says of itself that it has faded, and is one that can. Purity: pure."""
    return event_type == _FADED and was in _FADING and seq > 1


def _spent(event: Event) -> tuple[str, ...]:
    if isinstance(event, AttemptFinished) and event.stream_policy is not None:
        return event.stream_policy.spent
    return ()

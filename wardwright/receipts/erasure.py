"""What of an entry can be erased, and how: so that the rest of the receipt can still be proved.

Erasable are the caller (in the opening entry, and again among the facts that its plan was made from) and captured content. Each
such value stands in its entry as it is, but the entry's hash covers a *commitment* in its place: the hash of a random salt and of the
value. The salt is stored behind the entry's own hash:

    {…,"event":{…,"caller":{…},…},"hash":"<what the erased form hashes to>","salt":"…"}

To erase is to put the commitment in the place of the value, and to take the salt away:

    {…,"event":{…,"caller":{"erased":"<commitment>"},…},"hash":"<the same>"}

What is left is the very text that the hash was made of. So the chain holds as before: it proves everything but the value, and that there
was one. Without the salt nobody can try values until one fits the commitment.

Entries that were written before there were salts hash the value itself. Erased, they keep their hash and their links, and say
`"erased":"unproven"`: that they are otherwise what was written cannot be shown any more, and whoever verifies is told so.

An erased entry is never longer than it was, so that it may take its place. Spaces behind an entry are no part of it.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from wardwright.receipts.events import ContentCaptured, Event, Opened

HASH_LENGTH = 32
UNPROVEN = "unproven"

_CALLER = b'"caller":'
_CONTENT = b'"content":'
_ERASED = b'{"erased":"%b"}'
_LEFT_UNPROVEN = _ERASED % UNPROVEN.encode()
_EMPTY = (b"{}", b"null")
_ERASED_BEGINNING = b'{"erased":"'

_encode = msgspec.json.Encoder().encode


class _Facts(msgspec.Struct):
    caller: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Decision(msgspec.Struct):
    facts: _Facts | msgspec.UnsetType = msgspec.UNSET


class Fact(msgspec.Struct):
    """What this module, and the chain, need to know of an encoded fact."""

    type: str
    was: str = ""
    caller: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    decision: _Decision | msgspec.UnsetType = msgspec.UNSET
    content: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Slot(NamedTuple):
    """Where in an encoded entry an erasable value stands."""

    start: int
    end: int


def slots_of_event(encoded: bytes, event: Event) -> list[Slot]:
    """The erasable values of an entry that is being written. Purity: pure."""
    if isinstance(event, Opened):
        caller = event.decision.facts.caller
        return _slots(encoded, _CALLER, [_encode(event.caller), *([_encode(caller)] if caller else ())])
    if isinstance(event, ContentCaptured):
        return _slots(encoded, _CONTENT, [bytes(event.content)])
    return []


def slots_of_fact(encoded: bytes, fact: Fact) -> list[Slot]:
    """The erasable values of an entry that was read: the same as when it was written. Purity: pure."""
    if fact.type == _OPENED:
        decision = fact.decision
        facts = msgspec.UNSET if decision is msgspec.UNSET else decision.facts
        again = msgspec.UNSET if facts is msgspec.UNSET else facts.caller
        return _slots(encoded, _CALLER, [bytes(raw) for raw in (fact.caller, again) if raw is not msgspec.UNSET])
    if fact.type == _CAPTURED and fact.content is not msgspec.UNSET:
        return _slots(encoded, _CONTENT, [bytes(fact.content)])
    return []


def is_unproven(encoded: bytes, fact: Fact) -> bool:
    """Whether something was erased that the entry's hash covers as it was. Purity: pure."""
    if _LEFT_UNPROVEN not in encoded:
        return False
    return any(encoded[start:end] == _LEFT_UNPROVEN for start, end in slots_of_fact(encoded, fact))


def digest_of(covered: bytes, slots: Sequence[Slot], salt: str) -> str:
    """Hash the beginning of an entry, up to its own hash, as what would be left of it if it were erased. Purity: pure."""
    if not slots:
        return sha256(covered).hexdigest()[:HASH_LENGTH]
    hashed, at = sha256(), 0
    for start, end in slots:
        hashed.update(covered[at:start])
        hashed.update(_ERASED % _commitment(salt, covered[start:end]))
        at = end
    hashed.update(covered[at:])
    return hashed.hexdigest()[:HASH_LENGTH]


def _commitment(salt: str, value: bytes) -> bytes:
    return sha256(salt.encode() + value).hexdigest()[:HASH_LENGTH].encode()


class _Erasable(msgspec.Struct):
    event: Fact
    hash: str
    salt: str | msgspec.UnsetType = msgspec.UNSET


_decode_erasable = msgspec.json.Decoder(_Erasable).decode


def erased(payload: bytes) -> bytes | None:
    """What is left of an encoded entry when it is erased; None when there is nothing in it to erase, or not any more. Purity: pure.

    Raises: ValueError when the payload is no entry.
    """
    payload = payload.rstrip(b" ")
    try:
        entry = _decode_erasable(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not an encoded receipt entry: {error}") from error
    slots = [
        slot for slot in slots_of_fact(payload, entry.event) if not payload.startswith(_ERASED_BEGINNING, slot.start)
    ]
    if not slots:
        return None
    made, at = [], 0
    for start, end in slots:
        left = UNPROVEN.encode() if entry.salt is msgspec.UNSET else _commitment(entry.salt, payload[start:end])
        made += [payload[at:start], _ERASED % left]
        at = end
    end = len(payload)
    if entry.salt is not msgspec.UNSET:
        end -= len(',"salt":""}') + len(entry.salt)
        return b"".join([*made, payload[at:end], b"}"])
    return b"".join([*made, payload[at:]])


def commitment_in(value: object) -> str | None:
    """The commitment that is left of a value; None when it was not erased. Purity: pure."""
    match value:
        case {"erased": str(commitment), **rest} if not rest:
            return commitment
        case _:
            return None


def _slots(encoded: bytes, name: bytes, values: Sequence[bytes]) -> list[Slot]:
    """Where values stand under a name, one after the other. In an empty one is nothing to erase."""
    found: list[Slot] = []
    at = 0
    for value in values:
        if value in _EMPTY:
            continue
        at = encoded.find(name + value, at)
        if at < 0:
            break
        found.append(Slot(at + len(name), at + len(name) + len(value)))
        at = found[-1].end
    return found


_OPENED = Opened.__struct_config__.tag
_CAPTURED = ContentCaptured.__struct_config__.tag

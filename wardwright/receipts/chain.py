"""The chain through one receipt's entries: the writer that seals them, and the check that finds where a record was changed.

Each entry carries a hash of its own JSON, which contains the hash of the entry before it. So a changed, missing, repeated or
moved entry shows, the last one included. The hash has no key: it proves that nothing was damaged or edited by hand, not that
nobody rewrote a whole receipt with its hashes. For that, keep the last hash of a receipt somewhere else.

What can be erased from an entry is covered by a commitment, so that the chain holds with it and without it (`receipts.erasure`). An entry
that has faded keeps its links, and its own hash is taken as it is (`receipts.fading`).

The hash is SHA-256, shortened to 128 bits: finding a second entry for a given hash stays out of reach, and without a key more
bits would add length to every line of the log and no assurance.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Literal

import msgspec

from wardwright.receipts.erasure import HASH_LENGTH, Fact, digest_of, is_unproven, slots_of_event, slots_of_fact
from wardwright.receipts.events import Closed, Entry, Event, encode_entry
from wardwright.receipts.fading import has_faded

_CLOSED = Closed.__struct_config__.tag

# How an encoded entry ends: `…,"hash":"<32 hex digits>"}`, or `…","salt":"…"}`. Everything before the digits is what they cover.
_END = b'"}'
_TAIL = HASH_LENGTH + len(_END)
_SALT = len(',"salt":""')

Problem = Literal["unreadable", "altered", "foreign", "misplaced", "unlinked", "after_end"]


class Break(msgspec.Struct, frozen=True):
    """Where a chain does not hold. `position` counts the payloads from 1; `message` says what was expected there.

    `unreadable`: not an entry. `altered`: its own hash does not fit. `foreign`: of another receipt. `misplaced`: its number is
    not the next one (a gap, a repetition or another order). `unlinked`: it follows another predecessor than the one before it.
    `after_end`: it follows the closing entry.
    """

    position: int
    problem: Problem
    message: str


class Chain:
    """The writer's side of one receipt. Every sealed entry must be stored: what is sealed next builds upon it.

    A caller whose append failed keeps the sealed bytes and appends the same bytes again; stores skip what they have. `draw_salt`
    draws 128 random bits as hex digits; what is sealed without it cannot be erased provably.
    """

    def __init__(
        self, receipt_id: str, *, last_seq: int = 0, last_hash: str = "", draw_salt: Callable[[], str] | None = None
    ) -> None:
        self.receipt_id = receipt_id
        self.last_seq = last_seq
        self.last_hash = last_hash
        self._draw_salt = draw_salt

    def seal(self, event: Event, at: float) -> bytes:
        """Encode the receipt's next entry, a fact that became true at `at` (Unix seconds), and advance. Purity: no I/O."""
        seq = self.last_seq + 1
        covered = encode_entry(Entry(self.receipt_id, seq, at, self.last_hash, event)).removesuffix(_END)
        slots = () if self._draw_salt is None else slots_of_event(covered, event)
        salt = self._draw_salt() if slots and self._draw_salt is not None else None
        digest = digest_of(covered, slots, salt or "")
        self.last_seq, self.last_hash = seq, digest
        if salt is None:
            return b'%b%b"}' % (covered, digest.encode())
        return b'%b%b","salt":"%b"}' % (covered, digest.encode(), salt.encode())


def resume(entries: Sequence[Entry]) -> Chain:
    """Continue a receipt that was found in a store, for example to close it as interrupted. Purity: pure.

    Raises: ValueError when there is no entry to continue from.
    """
    if not entries:
        raise ValueError("a receipt without entries cannot be continued")
    last = entries[-1]
    return Chain(last.receipt_id, last_seq=last.seq, last_hash=last.hash)


class Link(msgspec.Struct):
    """What the chain goes by of an entry. The rest of it is not parsed: a chain holds whatever its facts are."""

    receipt_id: str
    seq: int
    prev: str
    event: Fact
    hash: str
    salt: str | msgspec.UnsetType = msgspec.UNSET


class Standing(msgspec.Struct, frozen=True, gc=False):
    """Where a receipt stands: the number and the hash of its last entry, and whether that closed it."""

    receipt_id: str
    seq: int
    hash: str
    is_closed: bool = False


_decode_link = msgspec.json.Decoder(Link).decode


def verify(payloads: Iterable[bytes]) -> Break | None:
    """Find the first place where one receipt's encoded entries are not what was sealed; None when the chain holds.

    A receipt whose last entries are missing altogether is a whole chain that is still open: closing entries tell them apart.
    Purity: pure.
    """
    before: Standing | None = None
    for position, payload in enumerate(payloads, start=1):
        entry = read_link(payload)
        if entry is None:
            return Break(position, "unreadable", f"entry {position} cannot be read")
        fault = fault_of(payload, entry, before)
        if fault is not None:
            return Break(position, *fault)
        before = Standing(entry.receipt_id, entry.seq, entry.hash, entry.event.type == _CLOSED)
    return None


def read_link(payload: bytes) -> Link | None:
    """What the chain goes by of an encoded entry; None when it is none. Purity: pure."""
    try:
        return _decode_link(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def fault_of(payload: bytes, entry: Link, before: Standing | None) -> tuple[Problem, str] | None:
    """Say what is wrong with an entry at its place, if anything; `before` is where the sound ones that it follows end. Purity: pure."""
    seq, prev = (before.seq + 1, before.hash) if before else (1, "")
    if not _matches_its_hash(payload, entry):
        return "altered", f"entry {entry.seq} of {entry.receipt_id} does not match its own hash"
    if before and entry.receipt_id != before.receipt_id:
        return "foreign", f"expected entry {seq} of {before.receipt_id}, got one of {entry.receipt_id}"
    if entry.seq != seq:
        return "misplaced", f"expected entry {seq} of {entry.receipt_id}, got entry {entry.seq}"
    if entry.prev != prev:
        return "unlinked", f"entry {seq} of {entry.receipt_id} was written after another entry than the one before it"
    if before and before.is_closed:
        return "after_end", f"entry {seq} of {entry.receipt_id} follows its closing entry"
    return None


def is_unprovable(payload: bytes, entry: Link) -> bool:
    """Whether an entry was written before there were commitments, and erased: its own hash cannot be checked any more. Purity: pure."""
    return entry.salt is msgspec.UNSET and is_unproven(payload, entry.event)


def is_faded(entry: Link) -> bool:
    """Whether an entry has faded: its own hash is that of what was there, and only its place and its links can be checked. Purity: pure."""
    return has_faded(entry.event.type, entry.event.was, entry.seq)


def _matches_its_hash(payload: bytes, entry: Link) -> bool:
    if entry.event.was and is_faded(entry):
        return True
    if payload.endswith(b" "):
        payload = payload.rstrip(b" ")
    if entry.salt is not msgspec.UNSET:
        covered = payload[: -_TAIL - _SALT - len(entry.salt)]
        return entry.hash == digest_of(covered, slots_of_fact(covered, entry.event), entry.salt)
    return entry.hash == sha256(payload[:-_TAIL]).hexdigest()[:HASH_LENGTH] or is_unprovable(payload, entry)

"""The chain through one receipt's entries: the writer that seals them, and the check that finds where a record was changed.

Each entry carries a hash of its own JSON, which contains the hash of the entry before it. So a changed, missing, repeated or
moved entry shows, the last one included. The hash has no key: it proves that nothing was damaged or edited by hand, not that
nobody rewrote a whole receipt with its hashes. For that, keep the last hash of a receipt somewhere else.

The hash is SHA-256, shortened to 128 bits: finding a second entry for a given hash stays out of reach, and without a key more
bits would add length to every line of the log and no assurance.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Literal

import msgspec

from wardwright.receipts.events import Closed, Entry, Event, encode_entry

HASH_LENGTH = 32

_CLOSED = Closed.__struct_config__.tag

# How an encoded entry ends: `…,"hash":"<32 hex digits>"}`. Everything before the digits is what they cover.
_END = b'"}'
_TAIL = HASH_LENGTH + len(_END)

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

    A caller whose append failed keeps the sealed bytes and appends the same bytes again; stores skip what they have.
    """

    def __init__(self, receipt_id: str, *, last_seq: int = 0, last_hash: str = "") -> None:
        self.receipt_id = receipt_id
        self.last_seq = last_seq
        self.last_hash = last_hash

    def seal(self, event: Event, at: float) -> bytes:
        """Encode the receipt's next entry, a fact that became true at `at` (Unix seconds), and advance. Purity: no I/O."""
        seq = self.last_seq + 1
        covered = encode_entry(Entry(self.receipt_id, seq, at, self.last_hash, event)).removesuffix(_END)
        digest = _digest(covered)
        self.last_seq, self.last_hash = seq, digest
        return b'%b%b"}' % (covered, digest.encode())


def resume(entries: Sequence[Entry]) -> Chain:
    """Continue a receipt that was found in a store, for example to close it as interrupted. Purity: pure.

    Raises: ValueError when there is no entry to continue from.
    """
    if not entries:
        raise ValueError("a receipt without entries cannot be continued")
    last = entries[-1]
    return Chain(last.receipt_id, last_seq=last.seq, last_hash=last.hash)


class _Fact(msgspec.Struct):
    type: str


class Link(msgspec.Struct):
    """What the chain goes by of an entry. The rest of it is not parsed: a chain holds whatever its facts are."""

    receipt_id: str
    seq: int
    prev: str
    event: _Fact
    hash: str


_decode_link = msgspec.json.Decoder(Link).decode


def verify(payloads: Iterable[bytes]) -> Break | None:
    """Find the first place where one receipt's encoded entries are not what was sealed; None when the chain holds.

    A receipt whose last entries are missing altogether is a whole chain that is still open: closing entries tell them apart.
    Purity: pure.
    """
    before: Link | None = None
    for position, payload in enumerate(payloads, start=1):
        entry = read_link(payload)
        if entry is None:
            return Break(position, "unreadable", f"entry {position} cannot be read")
        fault = fault_of(payload, entry, before)
        if fault is not None:
            return Break(position, *fault)
        before = entry
    return None


def read_link(payload: bytes) -> Link | None:
    """What the chain goes by of an encoded entry; None when it is none. Purity: pure."""
    try:
        return _decode_link(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def fault_of(payload: bytes, entry: Link, before: Link | None) -> tuple[Problem, str] | None:
    """Say what is wrong with an entry at its place, if anything; `before` is the sound one it follows. Purity: pure."""
    seq, prev = (before.seq + 1, before.hash) if before else (1, "")
    if entry.hash != _digest(payload[:-_TAIL]):
        return "altered", f"entry {entry.seq} of {entry.receipt_id} does not match its own hash"
    if before and entry.receipt_id != before.receipt_id:
        return "foreign", f"expected entry {seq} of {before.receipt_id}, got one of {entry.receipt_id}"
    if entry.seq != seq:
        return "misplaced", f"expected entry {seq} of {entry.receipt_id}, got entry {entry.seq}"
    if entry.prev != prev:
        return "unlinked", f"entry {seq} of {entry.receipt_id} was written after another entry than the one before it"
    if before and before.event.type == _CLOSED:
        return "after_end", f"entry {seq} of {entry.receipt_id} follows its closing entry"
    return None


def _digest(covered: bytes) -> str:
    return sha256(covered).hexdigest()[:HASH_LENGTH]

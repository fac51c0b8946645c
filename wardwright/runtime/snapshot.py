"""The document of a snapshot: what a new process would otherwise have to read off the receipts of a day, or could not know at all.

It is JSON with its keys in order, so that equal states are equal bytes: `{"checksum": …, "format": 1, "state": {…}}`. The checksum is the
SHA-256 of the state's bytes. Nothing depends on a snapshot: one that cannot be used is left aside, and the receipts are asked.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

import msgspec

from wardwright.runtime.books import Books
from wardwright.runtime.kept_health import KeptHealth

MARK = "snapshot"
"""The name of the mark that it is kept under."""

FORMAT = 1


class Unusable(ValueError):
    """What is no snapshot that could be used; the message says why."""


class Place(NamedTuple):
    """How far the log was read: behind the entry at `position`, which is entry `seq` of a receipt, and comes next after `before`.

    Positions mean something in one store only, and maybe not after a power failure. The entry is the proof that they still do.
    """

    before: int
    position: int
    receipt_id: str
    seq: int


class Covered(msgspec.Struct, frozen=True):
    """The books, and up to which place of the log its entries are in them."""

    books: Books
    place: Place


class Snapshot(msgspec.Struct, frozen=True):
    """What the process `boot` knew at `written_at`, in Unix seconds: health by provider, and the books when it had them."""

    boot: str
    written_at: float
    health: Mapping[str, KeptHealth]
    covered: Covered | None


class _State(msgspec.Struct, frozen=True):
    boot: str
    written_at: float
    health: Mapping[str, KeptHealth]
    covered: msgspec.Raw


class _Sealed(msgspec.Struct, frozen=True):
    checksum: str
    format: int
    state: msgspec.Raw


class _Head(msgspec.Struct, frozen=True):
    format: int


_encode = msgspec.json.Encoder(order="sorted").encode
_decode_sealed = msgspec.json.Decoder(_Sealed).decode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_state = msgspec.json.Decoder(Snapshot).decode


def encode_covered(covered: Covered | None) -> msgspec.Raw:
    """Render the larger part, which changes less often than the rest. Purity: pure."""
    return msgspec.Raw(_encode(covered))


def encode_snapshot(boot: str, written_at: float, health: Mapping[str, KeptHealth], covered: msgspec.Raw) -> bytes:
    """Render a snapshot. Purity: pure; equal arguments give equal bytes."""
    state = _encode(_State(boot, written_at, health, covered))
    return _encode(_Sealed(sha256(state).hexdigest(), FORMAT, msgspec.Raw(state)))


def decode_snapshot(payload: bytes) -> Snapshot:
    """Read what `encode_snapshot` made. Purity: pure.

    Raises: Unusable for anything else, and for what was damaged since.
    """
    try:
        head = _decode_head(payload)
        if head.format != FORMAT:
            raise Unusable(f"it has format {head.format}, and this version reads {FORMAT}")
        sealed = _decode_sealed(payload)
        if sha256(bytes(sealed.state)).hexdigest() != sealed.checksum:
            raise Unusable("its checksum does not match: it has changed since it was written")
        return _decode_state(sealed.state)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unusable(f"it cannot be read: {error}") from error

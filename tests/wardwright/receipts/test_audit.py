"""The check of a whole store, over entries of many receipts in any order of storing."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardwright.domain.caller import Attributed, Caller
from wardwright.receipts.audit import Audit, Piece, PieceAudit
from wardwright.receipts.chain import Chain
from wardwright.receipts.erasure import erased
from wardwright.receipts.events import Closed
from wardwright.testing.sample_receipts import after_fading, opened, plain, receipt_id


def erased_before_there_were_salts(number: int) -> tuple[bytes, ...]:
    chain = Chain(receipt_id(number))
    opening = chain.seal(opened(Caller(session_id=Attributed("session", "header"))), 1.0)
    return erased(opening) or b"", chain.seal(Closed("completed", 0), 2.0)


SAMPLES = [
    [
        plain(number).payloads,
        plain(number, closed=False).payloads,
        after_fading(plain(number, attempts=2)).payloads,
        erased_before_there_were_salts(number),
    ]
    for number in range(4)
]


def audited(payloads: list[bytes]) -> Audit:
    audit = Audit()
    for payload in payloads:
        audit.take(payload)
    return audit


@given(order=st.permutations([0] * 3 + [1] * 3 + [2] * 2))
def test_receipts_may_be_interleaved_as_they_like(order: list[int]) -> None:
    records = [iter(plain(number, closed=number < 2).payloads) for number in range(3)]
    audit = audited([next(records[number]) for number in order])
    assert (audit.receipts, audit.entries, audit.open_receipts) == (3, 8, 1)
    assert not audit.findings


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda record: [record[0], record[1].replace(b"small", b"SMALL"), record[2]], "altered"),
        (lambda record: [record[0], record[2]], "misplaced"),
        (lambda record: record[1:], "misplaced"),
        (lambda record: [record[0], record[2], record[1]], "misplaced"),
        (lambda record: [*record, record[1]], "misplaced"),
        (lambda record: [record[0], *plain(1, attempts=2, session_id="other").payloads[1:]], "unlinked"),
    ],
)
def test_a_broken_chain_is_found_once_and_beside_sound_ones(change: object, problem: str) -> None:
    assert callable(change)
    audit = audited([*plain(0).payloads, *change(list(plain(1).payloads)), *plain(2).payloads])
    ((receipt_id, finding),) = audit.findings.items()
    assert (receipt_id, finding.receipt_id, finding.broken.problem) == ("rcpt_0001", "rcpt_0001", problem)
    assert audit.open_receipts == 0


@pytest.mark.parametrize("payload", [b"", b"{}", b"\xff", b"[" * 9999])
def test_what_is_no_entry_is_found(payload: bytes) -> None:
    audit = audited([*plain(0).payloads, payload])
    (finding,) = audit.findings.values()
    assert finding.broken.problem == "unreadable"
    assert "entry 4 of the store" in finding.broken.message


def test_of_several_that_are_no_entries_the_first_is_told() -> None:
    audit = audited([b"{}", *plain(0).payloads, b"{}"])
    (finding,) = audit.findings.values()
    assert "entry 1 of the store" in finding.broken.message


def edited(payload: bytes) -> bytes:
    return payload.replace(b"small", b"SMALL").replace(b"completed", b"c0mpleted")


@st.composite
def stores(draw: st.DrawFn) -> list[bytes]:
    """The entries of a few receipts in the order of storing: most as they were written; edited, lost, repeated, moved or no entries among them."""
    records = [draw(st.sampled_from(samples)) for samples in SAMPLES]
    turns = draw(st.permutations([number for number, record in enumerate(records) for _ in record]))
    rest = [iter(record) for record in records]
    payloads = [next(rest[number]) for number in turns]
    for kind in draw(st.lists(st.sampled_from(["edit", "lose", "repeat", "move", "spoil", "again"]), max_size=4)):
        at, to = draw(st.integers(0, len(payloads) - 1)), draw(st.integers(0, len(payloads) - 1))
        match kind:
            case "edit":
                payloads[at] = edited(payloads[at])
            case "lose" if len(payloads) > 1:
                del payloads[at]
            case "repeat":
                payloads.insert(to, payloads[at])
            case "move":
                payloads.insert(to, payloads.pop(at))
            case "spoil":
                payloads[at] = b"{}"
            case "again":
                payloads += records[at % 4]
    return payloads


def everything_of(audit: Audit) -> tuple[object, ...]:
    counts = audit.entries, audit.receipts, audit.unprovable, audit.faded, audit.open_receipts
    return *counts, list(audit.findings.items())


@settings(max_examples=400, deadline=None)
@given(payloads=stores(), data=st.data())
def test_what_pieces_come_to_is_what_the_whole_comes_to(payloads: list[bytes], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(payloads)), max_size=5)))
    joined = Audit()
    for begin, end in pairwise([0, *cuts, len(payloads)]):
        alone = PieceAudit()
        for payload in payloads[begin:end]:
            alone.take(payload)
        if not joined.join(msgspec.convert(msgspec.to_builtins(alone.piece()), Piece)):
            for payload in payloads[begin:end]:
                joined.take(payload)
    assert everything_of(joined) == everything_of(audited(payloads))


@given(cut=st.integers(0, 8))
def test_pieces_of_a_sound_store_fit_wherever_it_is_cut(cut: int) -> None:
    payloads = [*plain(0).payloads, *plain(1).payloads, *plain(2, closed=False).payloads]
    joined = Audit()
    for piece in (payloads[:cut], payloads[cut:]):
        alone = PieceAudit()
        for payload in piece:
            alone.take(payload)
        assert joined.join(alone.piece())
    assert everything_of(joined) == everything_of(audited(payloads))

"""The check of a whole store, over entries of many receipts in any order of storing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.receipts.audit import Audit
from wardwright.testing.sample_receipts import plain


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

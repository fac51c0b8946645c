"""The chain finds every edit, gap and reordering, and says where."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wardwright.receipts.receipt_samples import AT, RECEIPT_ID, entries, fallback_story, sealed
from wardwright.receipts.chain import Break, Chain, resume, verify
from wardwright.receipts.events import AttemptStarted, Closed, decode_entry, encode_entry

STORY = sealed(fallback_story())


def broken(payloads: list[bytes]) -> Break:
    found = verify(payloads)
    assert found is not None
    return found


def test_sealed_entries_are_numbered_and_linked() -> None:
    decoded = [decode_entry(payload) for payload in STORY]
    assert [entry.seq for entry in decoded] == [1, 2, 3, 4, 5, 6]
    assert [entry.prev for entry in decoded] == ["", *(entry.hash for entry in decoded[:-1])]
    assert len({entry.hash for entry in decoded}) == len(decoded)
    assert [entry.event for entry in decoded] == fallback_story()


def test_a_sealed_entry_is_what_encoding_its_entry_gives() -> None:
    assert [encode_entry(decode_entry(payload)) for payload in STORY] == STORY


def test_a_whole_chain_and_every_beginning_of_it_hold() -> None:
    assert [verify(STORY[:length]) for length in range(len(STORY) + 1)] == [None] * (len(STORY) + 1)


@given(st.data())
def test_any_changed_byte_is_found_in_the_entry_it_is_in(data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(STORY) - 1))
    at = data.draw(st.integers(0, len(STORY[index]) - 1))
    mask = data.draw(st.integers(1, 255))
    altered = bytearray(STORY[index])
    altered[at] ^= mask
    found = broken([*STORY[:index], bytes(altered), *STORY[index + 1 :]])
    assert found.position == index + 1
    assert found.problem in ("unreadable", "altered")


@given(st.permutations(STORY).filter(lambda order: order != STORY))
def test_any_other_order_is_found_at_its_first_wrong_place(order: list[bytes]) -> None:
    first = next(index for index, payload in enumerate(order) if payload != STORY[index])
    found = broken(order)
    assert (found.position, found.problem) == (first + 1, "misplaced")


@pytest.mark.parametrize("gap", range(len(STORY) - 1))
def test_a_missing_entry_is_found_where_it_should_be(gap: int) -> None:
    found = broken([*STORY[:gap], *STORY[gap + 1 :]])
    assert (found.position, found.problem) == (gap + 1, "misplaced")
    assert f"expected entry {gap + 1} of {RECEIPT_ID}, got entry {gap + 2}" in found.message


def test_a_repeated_entry_is_found() -> None:
    assert broken([STORY[0], STORY[0]]).problem == "misplaced"


def test_an_entry_rewritten_with_a_hash_of_its_own_no_longer_carries_its_successor() -> None:
    rewritten = sealed([fallback_story()[0], AttemptStarted(1, "cloud/large", "cloud", "another")])[1]
    found = broken([STORY[0], rewritten, *STORY[2:]])
    assert (found.position, found.problem) == (3, "unlinked")


def test_an_entry_of_another_receipt_is_found() -> None:
    other = sealed(fallback_story(), receipt_id="rcpt_other")
    assert broken([STORY[0], other[1]]).problem == "foreign"


def test_an_entry_after_the_closing_one_is_found() -> None:
    chain = resume(entries(fallback_story()))
    assert broken([*STORY, chain.seal(Closed("internal_error", 2), AT)]).problem == "after_end"


def test_a_receipt_found_open_is_continued_where_it_ended() -> None:
    chain = resume(entries(fallback_story()[:3]))
    closing = chain.seal(Closed("interrupted", 1), AT + 60)
    assert decode_entry(closing).seq == 4
    assert verify([*STORY[:3], closing]) is None


def test_nothing_cannot_be_continued() -> None:
    with pytest.raises(ValueError, match="without entries"):
        resume(())


def test_a_seal_that_fails_to_encode_does_not_advance_the_chain() -> None:
    chain = Chain(RECEIPT_ID)
    with pytest.raises((TypeError, msgspec.MsgspecError)):
        chain.seal(object(), AT)  # type: ignore[arg-type]
    assert (chain.last_seq, chain.last_hash) == (0, "")

"""What can be erased is erased, everything else is proved as before, and nobody can find out what it was."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wardwright.receipts.receipt_samples import fallback_story, full_story, numbered_salts, sealed
from wardwright.receipts.audit import Audit
from wardwright.receipts.chain import resume, verify
from wardwright.receipts.erasure import erased
from wardwright.receipts.events import ContentCaptured, Opened, decode_entry, encode_entry
from wardwright.receipts.fold import fold

STORY = sealed(full_story(), draw_salt=numbered_salts())
BEFORE_SALTS = sealed(full_story())
CONTENT = (1, len(STORY) - 2)


def erase(payloads: list[bytes], *places: int) -> list[bytes]:
    """The entries, those at some places erased."""
    return [erased(payload) or payload if place in places else payload for place, payload in enumerate(payloads)]


EVERYTHING = range(len(STORY))
ERASED = erase(STORY, *EVERYTHING)


@given(st.sets(st.sampled_from([0, *CONTENT])))
def test_the_chain_holds_whatever_was_erased_and_no_entry_becomes_longer(places: set[int]) -> None:
    left = erase(STORY, *places)
    assert verify(left) is None
    assert all(len(after) <= len(before) for before, after in zip(STORY, left, strict=True))
    assert [decode_entry(payload).hash for payload in left] == [decode_entry(payload).hash for payload in STORY]


def test_what_was_erased_is_gone_with_its_salt() -> None:
    assert all(b'"salt":"' in STORY[place] for place in (0, *CONTENT))
    left = b"".join(ERASED)
    for gone in (b"u1", b"s1", b'"hi"', b'"ho"', b'"salt":"'):
        assert gone in b"".join(STORY)
        assert gone not in left


def test_only_openings_and_content_have_anything_to_erase_and_that_only_once() -> None:
    changed = [place for place, payload in enumerate(STORY) if erased(payload) is not None]
    assert changed == [0, *CONTENT]
    assert [erased(payload) for payload in ERASED] == [None] * len(STORY)
    with pytest.raises(ValueError, match="not an encoded receipt entry"):
        erased(b"{}")


def test_an_opening_without_a_caller_has_nothing_to_erase() -> None:
    opening = full_story()[0]
    assert isinstance(opening, Opened)
    decision = msgspec.structs.replace(
        opening.decision, facts=msgspec.structs.replace(opening.decision.facts, caller={})
    )
    nobody = msgspec.structs.replace(opening, caller=type(opening.caller)(), decision=decision)
    [payload] = sealed([nobody], draw_salt=numbered_salts())
    assert erased(payload) is None
    assert verify([payload]) is None


@given(st.data())
def test_any_byte_that_is_changed_after_the_erasure_is_found(data: st.DataObject) -> None:
    payloads = data.draw(st.sampled_from([STORY, ERASED]))
    index = data.draw(st.integers(0, len(payloads) - 1))
    at = data.draw(st.integers(0, len(payloads[index]) - 1))
    altered = bytearray(payloads[index])
    altered[at] ^= data.draw(st.integers(1, 255))
    found = verify([*payloads[:index], bytes(altered), *payloads[index + 1 :]])
    assert found is not None
    assert (found.position, found.problem in ("unreadable", "altered")) == (index + 1, True)


def test_another_value_under_the_same_salt_is_found() -> None:
    assert verify([STORY[0].replace(b"u1", b"u2"), *STORY[1:]]) is not None


def test_entries_are_what_encoding_them_gives_and_the_receipt_goes_on_from_them() -> None:
    for payloads in (STORY, ERASED, BEFORE_SALTS):
        entries = [decode_entry(payload) for payload in payloads]
        assert [encode_entry(entry) for entry in entries] == payloads
        going_on = resume(entries[:-1]).seal(entries[-1].event, entries[-1].at)
        assert going_on == payloads[-1]


def test_spaces_behind_an_entry_are_no_part_of_it() -> None:
    padded = [payload + b" " * 9 for payload in STORY]
    assert verify(padded) is None
    assert [erased(payload) for payload in padded] == [erased(payload) for payload in STORY]
    assert [decode_entry(payload) for payload in padded] == [decode_entry(payload) for payload in STORY]


class TestEntriesFromBeforeThereWereSalts:
    def test_they_are_verified_as_ever(self) -> None:
        assert verify(BEFORE_SALTS) is None

    def test_erased_they_keep_their_links_and_say_that_they_are_unproven(self) -> None:
        left = erase(BEFORE_SALTS, *EVERYTHING)
        assert verify(left) is None
        assert b"u1" not in b"".join(left)
        assert fold([decode_entry(payload) for payload in left]).caller.erased == "unproven"
        audit = Audit()
        assert [audit.take(payload) for payload in left] == [None] * len(left)
        assert audit.unprovable == 3
        assert verify([*left[:1], *left[2:]]) is not None

    def test_what_was_proved_is_not_counted(self) -> None:
        audit = Audit()
        for payload in (*STORY, *sealed(fallback_story(), receipt_id="rcpt_other"), *ERASED[:0]):
            audit.take(payload)
        assert audit.unprovable == 0


class TestTheReceipt:
    def test_it_shows_what_was_captured(self) -> None:
        content = fold([decode_entry(payload) for payload in STORY]).content
        assert content is not None
        assert content.request is not None
        assert content.answer is not None
        assert content.request.redactions == {"email": 1}
        assert content.answer.content == {"choices": [{"index": 0, "text": "ho"}]}

    def test_it_says_what_was_erased(self) -> None:
        receipt = fold([decode_entry(payload) for payload in ERASED])
        assert receipt.caller.erased is not None
        assert receipt.caller.consuming_user_id is None
        assert set(receipt.decision.facts.caller) == {"erased"}
        assert receipt.content is not None
        assert receipt.content.request is not None
        assert receipt.content.request.content is None
        assert receipt.content.request.erased is not None
        assert receipt.final is not None
        assert [event.type for event in receipt.events][1] == "content.captured"

    def test_the_facts_are_what_they_were(self) -> None:
        events = [decode_entry(payload).event for payload in STORY]
        assert events == full_story()
        assert isinstance(events[1], ContentCaptured)

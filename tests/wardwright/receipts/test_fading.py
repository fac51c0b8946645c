"""Events between opening and closing fade; what is left is shorter, stands where it stood, and the rest is proved as before."""

import csv
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wardwright.receipts.receipt_samples import full_story, numbered_salts, sealed
from wardwright.receipts.audit import Audit
from wardwright.receipts.chain import verify
from wardwright.receipts.columns import row_of
from wardwright.receipts.erasure import erased
from wardwright.receipts.events import (
    AskedAgain,
    AttemptFinished,
    AttemptStarted,
    Closed,
    ContentCaptured,
    Event,
    Faded,
    FadingType,
    NotAskedAgain,
    Opened,
    PassedOver,
    Resumed,
    StreamFinding,
    decode_entry,
    encode_entry,
)
from wardwright.receipts.fading import faded
from wardwright.receipts.fold import fold, summarise, summary_of
from wardwright.receipts.receipt import Receipt
from wardwright.receipts.session import facts_after
from wardwright.receipts.stats import tally
from wardwright.receipts.table_text import csv_lines
from wardwright.sinks.genai_spans import spans_of

SPENT = StreamFinding("horizon", "block", "once", 1, spent=("once",))


def long_story() -> list[Event]:
    """A request to which everything happened that can fade, each event as short as it can be, and one as long as it may be."""
    opened, asked, *attempts, answered, closed = full_story()
    happened: list[Event] = [
        AttemptStarted(1, "", "", ""),
        Resumed(2, 1, "", "", "repeat", 0),
        AttemptFinished(1, "", "failed", 0.0, 0.0),
        AskedAgain(1, "", "retry", 1, 1, "", "", 0),
        NotAskedAgain(1, "", "retry", "retries_spent", 1, 1),
        PassedOver("", "", "saturated"),
        AttemptFinished(2, "m", "stopped", 0.0, 0.0, stream_policy=SPENT),
    ]
    return [opened, asked, *attempts, *happened, answered, closed]


STORY = sealed(long_story(), draw_salt=numbered_salts())


def fade(payloads: list[bytes], *seqs: int) -> list[bytes]:
    """The entries, those of some numbers faded."""
    left = {decode_entry(payload).seq: payload for payload in faded([decode_entry(payload) for payload in payloads])}
    return [left.get(seq, payload) if seq in seqs else payload for seq, payload in enumerate(payloads, 1)]


EVERYTHING = range(1, len(STORY) + 1)
FADED = fade(STORY, *EVERYTHING)


def folded(payloads: list[bytes]) -> Receipt:
    return fold([decode_entry(payload) for payload in payloads])


def types(payloads: list[bytes]) -> list[str]:
    return [event.type for event in folded(payloads).events]


def test_everything_fades_but_the_opening_the_content_and_the_closing() -> None:
    was = [event.was for event in folded(FADED).events if event.was is not None]
    assert set(was) == set(get_args(FadingType))
    kept = [type(decode_entry(payload).event) for payload in FADED]
    assert [kind for kind in kept if kind is not Faded] == [Opened, ContentCaptured, ContentCaptured, Closed]
    assert [one for one, other in zip(types(STORY), types(FADED), strict=True) if other == "event.faded"] == was


def test_what_is_left_says_its_place_what_it_was_and_nothing_else() -> None:
    before, after = (msgspec.json.decode(payloads[2]) for payloads in (STORY, FADED))
    assert after == {**before, "event": {"type": "event.faded", "was": "attempt.started"}}
    assert list(after) == ["receipt_id", "seq", "at", "prev", "event", "hash"]


def test_what_has_faded_does_not_fade_again_and_nothing_fades_while_the_receipt_is_open() -> None:
    assert faded([decode_entry(payload) for payload in FADED]) == []
    assert faded([decode_entry(payload) for payload in STORY[:-1]]) == []
    assert [encode_entry(decode_entry(payload)) for payload in FADED] == FADED


@given(st.sets(st.sampled_from(EVERYTHING)))
def test_the_chain_holds_whatever_has_faded_and_every_faded_entry_is_shorter(seqs: set[int]) -> None:
    left = fade(STORY, *seqs)
    assert verify(left) is None
    assert all(len(after) < len(before) for before, after in zip(STORY, left, strict=True) if before != after)
    audit = Audit()
    assert [audit.take(payload) for payload in left] == [None] * len(left)
    assert audit.faded == folded(left).faded_events == sum(b"event.faded" in payload for payload in left)


@given(st.data())
def test_any_change_of_what_has_not_faded_and_of_any_link_is_found(data: st.DataObject) -> None:
    seqs = data.draw(st.sets(st.sampled_from(EVERYTHING)))
    left = fade(STORY, *seqs)
    index = data.draw(st.integers(0, len(left) - 1))
    payload = left[index]
    start = payload.rindex(b'"hash":"') + 8 if b"event.faded" in payload else 0
    at = data.draw(st.integers(start, len(payload) - 1))
    altered = bytearray(payload)
    altered[at] ^= data.draw(st.integers(1, 255))
    assert verify([*left[:index], bytes(altered), *left[index + 1 :]]) is not None


@pytest.mark.parametrize("change", ["moved", "missing", "repeated", "renumbered", "relinked"])
def test_what_has_faded_stands_where_it_stood(change: str) -> None:
    first, second = FADED[2:4]
    changed = {
        "moved": [second, first],
        "missing": [second],
        "repeated": [first, first, second],
        "renumbered": [first.replace(b'"seq":3', b'"seq":4'), second],
        "relinked": [first, second.replace(b'"prev":"', b'"prev":"0')],
    }[change]
    assert verify([*FADED[:2], *changed, *FADED[4:]]) is not None


@pytest.mark.parametrize("was", ["receipt.opened", "content.captured", "receipt.closed", "event.faded", ""])
def test_nothing_else_passes_for_an_entry_that_has_faded(was: str) -> None:
    forged = FADED[2].replace(b'"was":"attempt.started"', f'"was":"{was}"'.encode())
    found = verify([*FADED[:2], forged, *FADED[3:]])
    assert found is not None
    assert (found.position, found.problem) == (3, "altered")


def test_an_opening_does_not_pass_for_one_that_has_faded() -> None:
    entry = msgspec.structs.replace(decode_entry(STORY[0]), event=Faded("attempt.started"), salt=msgspec.UNSET)
    found = verify([encode_entry(entry), *STORY[1:]])
    assert found is not None
    assert (found.position, found.problem) == (1, "altered")


def test_what_has_faded_can_be_erased_and_what_was_erased_can_fade() -> None:
    def erase(payloads: list[bytes]) -> list[bytes]:
        return [erased(payload) or payload for payload in payloads]

    assert erase(FADED) == fade(erase(STORY), *EVERYTHING)
    assert verify(erase(FADED)) is None


def test_the_receipt_says_what_was_decided_and_how_it_ended_and_that_the_rest_has_faded() -> None:
    before, after = folded(STORY), folded(FADED)
    assert (before.faded_events, after.faded_events) == (0, len(STORY) - 4)
    assert (after.decision, after.caller, after.content) == (before.decision, before.caller, before.content)
    assert before.final is not None
    assert after.final == msgspec.structs.replace(before.final, stream_policy=None)
    assert (after.attempts, after.passed_over, after.seams) == ((), (), ())
    assert [event.hash for event in after.events] == [event.hash for event in before.events]
    assert summarise(after) == summary_of([decode_entry(payload) for payload in FADED])
    assert (summarise(before).stream_policy_action, summarise(after).stream_policy_action) == ("block", None)


def test_statistics_count_what_is_left() -> None:
    counted = tally([folded(STORY), folded(FADED)], "model").all
    assert (counted.requests, counted.statuses) == (2, {"completed": 2})
    assert (counted.triggers, counted.faded) == (1, 1)


def test_tables_and_spans_still_say_how_many_attempts_there_were() -> None:
    for payloads in (STORY, FADED):
        receipt = folded(payloads)
        assert receipt.final is not None
        assert row_of(receipt)["attempts"] == receipt.final.attempts == 2
        (row,) = csv.DictReader(csv_lines([receipt]))
        assert row["attempts"] == "2"
        assert next(spans_of(receipt)).attributes["wardwright.attempts"] == 2


def test_a_session_still_knows_which_rules_it_has_done_with() -> None:
    before, after = (facts_after([decode_entry(payload) for payload in payloads]) for payloads in (STORY, FADED))
    assert before == after
    assert after is not None
    assert after.spent_rules == ("once",)

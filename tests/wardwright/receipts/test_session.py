"""What a session has come to, as its newest receipts tell."""

import msgspec
import pytest

from tests.wardwright.receipts.receipt_samples import opened
from wardwright.domain.route import SessionFacts, StickyChoice
from wardwright.receipts.events import AttemptFinished, Closed, Entry, Event, StreamFinding
from wardwright.receipts.session import facts_after, settled, turn_of

CHOICES = (StickyChoice("blend", ("p/a", "p/b")), StickyChoice("other", ("q/c",)))


def entries(*events: Event) -> list[Entry]:
    return [Entry("rcpt_1", seq, 0.0, "", event) for seq, event in enumerate(events, 1)]


def of_session(turn: int | None, sticky: dict[str, str], *, spent: tuple[str, ...] = ()) -> Event:
    event = opened()
    session = None if turn is None else SessionFacts(turn, sticky, spent)
    facts = msgspec.structs.replace(event.decision.facts, session=session)
    decision = msgspec.structs.replace(event.decision, facts=facts, sticky=CHOICES)
    return msgspec.structs.replace(event, decision=decision, session_turn=turn)


@pytest.mark.parametrize(
    ("served", "sticky"),
    [
        ("p/b", {"blend": "p/b", "far": "x"}),
        ("q/c", {"blend": "p/a", "far": "x", "other": "q/c"}),
        ("z", {"blend": "p/a", "far": "x"}),
        (None, {"blend": "p/a", "far": "x"}),
    ],
)
def test_the_target_that_served_is_kept_where_a_selector_may_keep_it(
    served: str | None, sticky: dict[str, str]
) -> None:
    receipt = entries(of_session(4, {"blend": "p/a", "far": "x"}), Closed("completed", 1, selected_model=served))
    assert facts_after(receipt) == SessionFacts(4, sticky)


def test_an_open_receipt_counts_its_turn() -> None:
    assert facts_after(entries(of_session(4, {"blend": "p/a"}))) == SessionFacts(4, {"blend": "p/a"})


def attempt(*spent: str) -> AttemptFinished:
    return AttemptFinished(1, "p/a", "stopped", 0.0, 1.0, stream_policy=StreamFinding("horizon", spent=spent))


def test_rules_that_hold_once_per_session_and_have_fired_are_done_with() -> None:
    opened_with = of_session(4, {}, spent=("early",))
    receipt = entries(opened_with, attempt("one", "early"), attempt(), attempt("two"), Closed("completed", 3))
    assert facts_after(receipt) == SessionFacts(4, {}, ("early", "one", "two"))


def timed(
    receipt_id: str, began: float, ended: float | None, event: Event, served: str | None, *spent: str
) -> list[Entry]:
    """A receipt that is open without an end."""
    found = [Entry(receipt_id, 1, began, "", event)]
    if ended is not None:
        found.append(Entry(receipt_id, 2, ended, "", attempt(*spent)))
        found.append(Entry(receipt_id, 3, ended, "", Closed("completed", 1, selected_model=served)))
    return found


class TestRequestsAtTheSameTime:
    def test_what_ended_after_the_newest_began_counts_in_the_order_of_the_ends(self) -> None:
        newest = timed("rcpt_4", 100.0, 130.0, of_session(4, {"far": "x"}, spent=("early",)), "p/b", "b")
        last = timed("rcpt_2", 90.0, 140.0, of_session(2, {}), "p/a", "a")
        first = timed("rcpt_3", 95.0, 120.0, of_session(3, {}), "q/c", "c")
        expected = SessionFacts(4, {"far": "x", "other": "q/c", "blend": "p/a"}, ("early", "c", "b", "a"))
        assert facts_after(newest, [first, last]) == expected
        assert facts_after(newest, [last, first]) == expected

    def test_what_had_ended_long_before_is_in_its_facts_already(self) -> None:
        newest = timed("rcpt_4", 100.0, 130.0, of_session(4, {"blend": "p/b"}), None)
        assert facts_after(newest, [timed("rcpt_3", 80.0, 90.0, of_session(3, {}), "p/a", "a")]) == SessionFacts(
            4, {"blend": "p/b"}
        )

    def test_what_ended_just_before_may_not_have_been_heard_of_yet(self) -> None:
        newest = timed("rcpt_4", 100.0, 130.0, of_session(4, {}), None)
        assert facts_after(newest, [timed("rcpt_3", 80.0, 99.9, of_session(3, {}), "p/a", "a")]) == SessionFacts(
            4, {"blend": "p/a"}, ("a",)
        )

    def test_one_that_is_still_under_way_has_come_to_nothing(self) -> None:
        newest = timed("rcpt_4", 100.0, 130.0, of_session(4, {"blend": "p/b"}), None)
        assert facts_after(newest, [timed("rcpt_3", 99.0, None, of_session(3, {}), None), []]) == SessionFacts(
            4, {"blend": "p/b"}
        )


class TestRequestsWithoutATurn:
    def test_one_after_the_newest_that_counts_is_not_counted_and_what_it_came_to_holds(self) -> None:
        counted = timed("rcpt_4", 100.0, 101.0, of_session(4, {"blend": "p/a"}, spent=("early",)), None)
        after = timed("rcpt_5", 110.0, 111.0, of_session(None, {}), None, "late")
        assert facts_after(counted, [after]) == SessionFacts(4, {"blend": "p/a"}, ("early", "late"))

    def test_where_none_has_one_no_turn_was_taken(self) -> None:
        first = timed("rcpt_1", 100.0, 101.0, of_session(None, {}), None, "a")
        second = timed("rcpt_2", 200.0, 201.0, of_session(None, {}), None, "b")
        assert facts_after(first, [second]) == SessionFacts(0, {}, ("a", "b"))
        assert facts_after([]) == SessionFacts(0)

    def test_they_are_told_apart_from_those_that_have_one(self) -> None:
        receipts = [entries(of_session(4, {})), entries(of_session(None, {})), entries(attempt()), []]
        assert [turn_of(receipt) for receipt in receipts] == [4, None, None, None]


def test_what_does_not_change_is_not_copied() -> None:
    sticky = {"blend": "p/a"}
    assert settled(sticky, CHOICES, "z") is sticky

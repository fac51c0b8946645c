"""What a session has come to, as its newest receipt tells."""

import msgspec
import pytest

from tests.wardwright.receipts.receipt_samples import opened
from wardwright.domain.route import SessionFacts, StickyChoice
from wardwright.receipts.events import Closed, Entry, Event
from wardwright.receipts.session import facts_after, settled

CHOICES = (StickyChoice("blend", ("p/a", "p/b")), StickyChoice("other", ("q/c",)))


def entries(*events: Event) -> list[Entry]:
    return [Entry("rcpt_1", seq, 0.0, "", event) for seq, event in enumerate(events, 1)]


def of_session(turn: int | None, sticky: dict[str, str]) -> Event:
    event = opened()
    facts = msgspec.structs.replace(event.decision.facts, session=None if turn is None else SessionFacts(turn, sticky))
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


def test_a_receipt_of_no_session_tells_nothing() -> None:
    assert facts_after(entries(of_session(None, {}))) is None
    assert facts_after([]) is None


def test_what_does_not_change_is_not_copied() -> None:
    sticky = {"blend": "p/a"}
    assert settled(sticky, CHOICES, "z") is sticky

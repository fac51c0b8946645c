"""What many receipts come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wardwright.receipts.receipt_samples import entries, fallback_story, opened
from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.chat import Usage
from wardwright.receipts.events import AttemptFinished, Closed, Event, StreamFinding
from wardwright.receipts.fold import fold
from wardwright.receipts.receipt import Receipt
from wardwright.receipts.stats import GROUPINGS, Percentiles, tally


def told(*events: Event) -> Receipt:
    return fold(entries(list(events)))


def took(milliseconds: float) -> Receipt:
    return told(opened(), Closed("completed", 1, selected_model="local/small", latency_ms=milliseconds))


def test_nothing_comes_to_nothing() -> None:
    found = tally([], "model")
    assert (found.all.requests, found.all.latency_ms, found.groups) == (0, None, ())


def test_a_fallback_is_an_answer_of_another_target_than_was_decided_on() -> None:
    found = tally([fold(entries(fallback_story())), took(1.0)], "target")
    assert found.all.fallbacks == 1
    assert [(one.group, one.requests, one.fallbacks) for one in found.groups] == [
        ("cloud/large", 1, 1),
        ("local/small", 1, 0),
    ]


def test_tokens_cost_and_matches_are_summed_up() -> None:
    finding = StreamFinding("horizon", "block", "no-keys", trigger_count=3)
    attempt = AttemptFinished(1, "local/small", "stopped", 1.0, 5.0, first_token_ms=7.0, stream_policy=finding)
    receipt = told(
        opened(), attempt, Closed("stream_policy_blocked", 1, usage=Usage(40, 2), cost_usd=0.25, latency_ms=9.0)
    )
    found = tally([receipt, receipt, told(opened())], "model").all
    assert (found.triggers, found.prompt_tokens, found.completion_tokens, found.cost_usd) == (6, 80, 4, 0.5)
    assert found.statuses == {"stream_policy_blocked": 2, "open": 1}
    assert found.first_token_ms == Percentiles(7.0, 7.0, 7.0)


@given(st.permutations(range(1, 101)))
def test_percentiles_are_values_that_occurred(order: list[int]) -> None:
    assert tally([took(float(value)) for value in order], "model").all.latency_ms == Percentiles(50.0, 95.0, 99.0)


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("model", [("coding-balanced", 3)]),
        ("tenant", [("b", 2), (None, 1)]),
        ("status", [("completed", 2), (None, 1)]),
    ],
)
def test_groups_come_largest_first(by: str, groups: list[tuple[str | None, int]]) -> None:
    caller = Caller(tenant_id=Attributed("b", "header"))
    receipts = [told(opened(caller=caller), Closed("completed", 0)) for _ in range(2)]
    (grouping,) = (known for known in GROUPINGS if known == by)
    found = tally([told(opened(caller=Caller())), *receipts], grouping)
    assert [(one.group, one.requests) for one in found.groups] == groups


def test_every_grouping_is_one() -> None:
    for grouping in GROUPINGS:
        assert sum(one.requests for one in tally([took(1.0)], grouping).groups) == 1

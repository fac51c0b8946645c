"""Supplied facts over gathered ones: what is given wins, what is not stays, what is misspelled is refused."""

from typing import Any

import msgspec
import pytest

from wardwright.domain.route import PlanInputs, RequestFacts, RouteConstraints, SessionFacts, Unhealthy
from wardwright.planner.supplied import SuppliedFacts

GATHERED = PlanInputs(
    RequestFacts(40, 10, ("tools",), exact_prompt_tokens={"o200k_base": 38}),
    caller={"tenant_id": "acme"},
    caller_tags=("beta",),
    session=SessionFacts(3),
    health=(Unhealthy("p", "saturated"),),
    constraints={"m": RouteConstraints(allowed_targets=("p",))},
    seed=9,
)


def over(**facts: Any) -> PlanInputs:
    return msgspec.convert(facts, SuppliedFacts).over(GATHERED)


def test_nothing_supplied_changes_nothing() -> None:
    assert over() == GATHERED


@pytest.mark.parametrize(
    "facts",
    [
        {"caller": {}},
        {"caller_tags": []},
        {"session": None},
        {"session": {"turn": 2, "sticky": {"fit": "p/a"}}},
        {"health": []},
        {"health": [{"subject": "q", "reason": "rate_limited", "retry_after_s": 2.0}]},
        {"constraints": {"m": {"forced_model": "p/a", "allow_fallback": True}}},
        {"spent_usd": {"paid": 3.5}},
        {"seed": 0},
    ],
)
def test_what_is_given_stands_in_the_place_of_what_was_gathered(facts: dict[str, Any]) -> None:
    found = over(**facts)
    (name,) = facts
    assert msgspec.json.decode(msgspec.json.encode(getattr(found, name))) == facts[name]
    others = [field for field in PlanInputs.__struct_fields__ if field != name]
    assert [getattr(found, field) for field in others] == [getattr(GATHERED, field) for field in others]


def test_facts_of_the_request_are_given_one_by_one() -> None:
    assert over(request={"output_budget": 5}).request == RequestFacts(
        40, 5, ("tools",), exact_prompt_tokens={"o200k_base": 38}
    )
    assert over(request={"needs": []}).request.needs == ()


def test_a_supposed_length_takes_the_place_of_an_exact_count() -> None:
    assert over(request={"estimated_prompt_tokens": 9000}).request == RequestFacts(9000, 10, ("tools",))
    counted = over(request={"estimated_prompt_tokens": 9000, "exact_prompt_tokens": {"o200k_base": 8000}})
    assert counted.request.exact_prompt_tokens == {"o200k_base": 8000}


@pytest.mark.parametrize(
    "facts",
    [
        {"turn": 2},
        {"versions": {"m": "1"}},
        {"session": {"trun": 2}},
        {"session": {"turn": 0}},
        {"health": [{"subject": "p", "reason": "tired"}]},
        {"health": [{"subject": "p", "reason": "saturated", "wait": 1}]},
        {"constraints": {"m": {"allowed": []}}},
        {"request": {"tokens": 4}},
        {"request": {"estimated_prompt_tokens": -1}},
        {"seed": 2**53},
    ],
)
def test_what_is_no_fact_is_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        over(**facts)

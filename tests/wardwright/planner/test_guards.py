"""What each requirement of a guard holds for."""

import msgspec
import pytest

from wardwright.domain.route import Guard, PlanInputs, RequestFacts, Requirements
from wardwright.planner.guards import fields_asked, unmet


def missing(require: Requirements, **known: object) -> str | None:
    inputs = PlanInputs(RequestFacts(4), **known)  # type: ignore[arg-type]
    return unmet(Guard("paid", "target", require), "paid", inputs)


@pytest.mark.parametrize("field", ["tenant_id", "application_id", "consuming_agent_id", "consuming_user_id"])
def test_a_callers_field_must_be_one_of_the_list(field: str) -> None:
    require = msgspec.convert({field: ["acme", "globex"]}, Requirements)
    assert missing(require, caller={field: "globex"}) is None
    assert missing(require, caller={field: "initech"}) == field


def test_a_field_that_nobody_stated_is_in_no_list() -> None:
    assert missing(Requirements(tenant_id=("acme", ""))) == "tenant_id"


def test_one_of_the_tags_is_enough() -> None:
    require = Requirements(tags=("beta", "staff"))
    assert missing(require, caller_tags=("staff", "night")) is None
    assert missing(require, caller_tags=("night",)) == "tags"
    assert missing(require) == "tags"


def test_a_budget_holds_until_it_is_spent() -> None:
    require = Requirements(max_usd_per_day=20)
    assert missing(require) is None
    assert missing(require, spent_usd={"paid": 19.99, "other": 500.0}) is None
    assert missing(require, spent_usd={"paid": 20.0}) == "max_usd_per_day"


def test_all_requirements_have_to_hold_and_the_first_that_does_not_is_named() -> None:
    require = Requirements(tenant_id=("acme",), tags=("staff",), max_usd_per_day=0)
    assert missing(require, caller={"tenant_id": "acme"}, caller_tags=("staff",)) == "max_usd_per_day"
    assert missing(require, caller={"tenant_id": "acme"}) == "tags"


def test_the_fields_asked_for_are_those_that_some_list_needs() -> None:
    asked = fields_asked([Requirements(tenant_id=("acme",)), Requirements(tags=("a",), target_tags=("private",))])
    assert asked == {"tenant_id", "tags"}

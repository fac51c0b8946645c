"""The policies of a composition: compiled once per definition, applied for every model in it."""

from tests.wardwright.runtime.stage import chat_request
from wardwright.domain.policy import RouteRule
from wardwright.domain.route import Composition, ModelDefinition, RouteConstraints, Target
from wardwright.runtime.policy import PolicyBook

TARGET = Target("local/qwen", "local", "qwen", 32)
RULE = RouteRule(id="keep", action="restrict_routes", contains="hi", allowed_targets=("local",))


def model(name: str, *rules: RouteRule, version: str = "1") -> ModelDefinition:
    return ModelDefinition(name, version, "local/qwen", (), (TARGET,), governance=rules)


def test_a_model_without_rules_demands_nothing() -> None:
    assert PolicyBook().judge(Composition(model("m")), chat_request()) == ({}, ())


def test_constraints_are_told_by_the_model_whose_rules_demand_them() -> None:
    other = RouteRule(id="block", action="block")
    composition = Composition(model("outer", RULE), {"inner": model("inner", other), "plain": model("plain")})
    constraints, actions = PolicyBook().judge(composition, chat_request())
    assert constraints == {"outer": RouteConstraints(("local",)), "inner": RouteConstraints(blocked_by="block")}
    assert [(action.model_id, action.rule_id) for action in actions] == [("outer", "keep"), ("inner", "block")]


def test_rules_that_do_not_fire_leave_no_trace() -> None:
    silent = RouteRule(id="silent", action="block", contains="nobody says this")
    assert PolicyBook().judge(Composition(model("m", silent)), chat_request()) == ({}, ())


def test_another_definition_under_the_same_name_has_its_own_rules() -> None:
    book = PolicyBook()
    book.judge(Composition(model("m", RULE)), chat_request())
    constraints, _ = book.judge(Composition(model("m", RouteRule(id="b", action="block"))), chat_request())
    assert constraints == {"m": RouteConstraints(blocked_by="b")}

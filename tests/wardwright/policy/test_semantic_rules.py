"""Rules over the values of an answer, and the pointers that lead to them."""

from typing import Any

import pytest

from wardwright.domain.structured import NumberRule, TextRule
from wardwright.policy.semantic_rules import breach


@pytest.mark.parametrize(
    ("bounds", "value", "holds"),
    [
        ({"gte": 0.7}, 0.7, True),
        ({"gte": 0.7}, 0.69, False),
        ({"gt": 1}, 1, False),
        ({"gt": 1, "lt": 3}, 2, True),
        ({"gt": 1, "lt": 3}, 3, False),
        ({"lte": 5}, 5, True),
        ({"lte": 5}, 5.5, False),
        ({"gte": 0}, "1", False),
        ({"gte": 0}, True, False),
        ({"gte": 0}, None, False),
    ],
)
def test_a_number_is_within_bounds(bounds: dict[str, Any], value: object, holds: bool) -> None:
    assert (breach(NumberRule(id="n", path="/a", **bounds), {"a": value}) is None) is holds


def test_a_number_that_is_not_there_is_a_breach() -> None:
    rule = NumberRule(id="n", path="/confidence", gte=0.7, lt=1)
    assert breach(rule, {"answer": 1}) == "/confidence: must be a number >= 0.7 and < 1"


@pytest.mark.parametrize(
    ("value", "holds"), [("all fine", True), ("TODO: write", False), ("a todo", False), (7, True), (None, True)]
)
def test_a_string_has_no_such_text_in_either_case(value: object, holds: bool) -> None:
    assert (breach(TextRule(id="t", path="/a", pattern="ToDo"), {"a": value}) is None) is holds


@pytest.mark.parametrize(
    ("path", "value", "is_there"),
    [
        ("", 1, True),
        ("/a/0/b", {"a": [{"b": 1}]}, True),
        ("/a~1b/c~0d", {"a/b": {"c~d": 1}}, True),
        ("/~01", {"~1": 1}, True),
        ("/", {"": 1}, True),
        ("/0", {"0": 1}, True),
        ("/1", [1], False),
        ("/-1", [1], False),
        ("/00", [1], False),
        ("/\u0661", [0, 1], False),
        ("/a/b", {"a": 1}, False),
    ],
)
def test_a_pointer_leads_to_what_it_names(path: str, value: object, is_there: bool) -> None:
    assert (breach(NumberRule(id="n", path=path, gte=1), value) is None) is is_there

"""The grammar of problems: paths, shown values, hints."""

import datetime
from typing import Any

import pytest

from wardwright.config.problems import ConfigError, Problem, below, is_within, nearest_hint, one_of, shown
from wardwright.domain.errors import WardwrightError


def test_a_problem_reads_as_path_and_message() -> None:
    assert str(Problem("server.bind", "expected X, got Y")) == "server.bind: expected X, got Y"


def test_a_problem_of_an_included_file_names_it_first() -> None:
    assert str(Problem("models.a.id", "expected X", "models/a.toml")) == "models/a.toml: models.a.id: expected X"


def test_a_problem_without_a_place_is_its_message() -> None:
    assert str(Problem("", "cannot read the file")) == "cannot read the file"


def test_the_error_carries_every_problem_and_spells_them_out() -> None:
    error = ConfigError("w.toml", [Problem("a", "expected X"), Problem("b", "expected Y")])
    assert isinstance(error, WardwrightError)
    assert (error.code, error.source, len(error.problems)) == ("invalid_config", "w.toml", 2)
    assert error.message == "2 problems in w.toml\n  a: expected X\n  b: expected Y"


def test_one_problem_is_counted_in_the_singular() -> None:
    assert ConfigError("w.toml", [Problem("a", "expected X")]).message.startswith("1 problem in")


def test_paths_lead_through_keys_and_entries() -> None:
    assert below(below(below("", "models"), 0), "id") == "models[0].id"


@pytest.mark.parametrize(
    ("path", "inside"), [("a.b", True), ("a.b.c", True), ("a.b[0]", True), ("a.bc", False), ("a", False)]
)
def test_a_path_is_within_itself_and_what_leads_to_it(path: str, inside: bool) -> None:
    assert is_within(path, "a.b") == inside


def test_a_hint_is_given_only_when_a_name_is_near() -> None:
    assert nearest_hint("bnd", ["bind", "backend"]) == ', did you mean "bind"?'
    assert nearest_hint("zzz", ["bind"]) == ""


def test_choices_are_spelled_out() -> None:
    assert one_of(["a"]) == '"a"'
    assert one_of(["a", "b"]) == 'one of "a", "b"'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("fast", '"fast"'),
        ("a\n", '"a\\n"'),
        ("x" * 100, '"' + "x" * 60 + '…"'),
        (True, "true"),
        (3, "3"),
        (2**70, "a number beyond 64 bits"),
        (1.5, "1.5"),
        (float("inf"), "inf"),
        ({}, "a table"),
        ([1], "a list"),
        ([], "an empty list"),
        (datetime.date(2026, 1, 1), "a date or time"),
    ],
)
def test_values_are_shown_as_the_file_has_them(value: Any, text: str) -> None:
    assert shown(value) == text

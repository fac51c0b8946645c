"""Every promise has its tests, and they are there and run on both event loops."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.supervisors.conformance import FOLDER, Promise, promises

OF_TOOLS = {"test_conformance.py", "test_crash_points.py", "test_exports.py", "test_promises.py", "test_testing.py"}
"""Modules that test what is no promise of the library to those who use it."""

PROMISES = promises()


@cache
def functions_of(module: Path) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """The tests of a module, by name."""
    tree = ast.parse(module.read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {function.name: function for function in functions if function.name.startswith("test_")}


@cache
def is_marked(module: Path) -> bool:
    """Whether all of a module runs on every event loop."""
    marks = [line for line in module.read_text().splitlines() if line.startswith("pytestmark = ")]
    return any("pytest.mark.anyio" in line for line in marks)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.sentence)
def test_a_promise_has_tests_and_they_run_on_both_event_loops(promise: Promise) -> None:
    assert promise.tests, "nothing shows it"
    for test in promise.tests:
        file, _, name = test.partition("::")
        module = FOLDER / file
        assert module.is_file(), file
        assert name in functions_of(module), test
        function = functions_of(module)[name]
        if isinstance(function, ast.AsyncFunctionDef):
            own_marks = [ast.unparse(decorator) for decorator in function.decorator_list]
            assert is_marked(module) or "pytest.mark.anyio" in own_marks, f"{test} runs on one event loop"


def test_promises_are_sentences_and_made_once() -> None:
    sentences = [promise.sentence for promise in PROMISES]
    assert [sentence for sentence in sentences if not sentence.endswith(".")] == []
    assert sorted(set(sentences)) == sorted(sentences)
    assert all(len(set(promise.tests)) == len(promise.tests) for promise in PROMISES)


def test_every_module_of_tests_shows_something_that_is_promised() -> None:
    modules = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("test_*.py")}
    shown = {test.partition("::")[0] for promise in PROMISES for test in promise.tests}
    assert modules - shown - OF_TOOLS == set()

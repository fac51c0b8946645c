"""The shape of the package: what is public, and what may import what."""

import ast
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import supervisors

PACKAGE = Path(supervisors.__file__).parent
PURE = ["_backoff", "_checks", "_child_spec", "_intensity", "_strategy", "_reasons", "_terms"]
IMPURE = {
    "anyio",
    "asyncio",
    "trio",
    "threading",
    "socket",
    "http",
    "logging",
    "time",
    "random",
    "secrets",
    "os",
    "pathlib",
}


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    lines = (supervisors.__doc__ or "").splitlines()
    example = dedent("\n".join(line for line in lines if line.startswith("    ") or not line))
    exec(
        f"import anyio\nfrom dataclasses import dataclass\nfrom supervisors import *\n{example}",
        {"__name__": "example"},
    )
    assert capsys.readouterr().out == "2\n"


def imports_of(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module)
    return names


def test_the_public_list_is_sorted_complete_and_without_doubles() -> None:
    assert len(set(supervisors.__all__)) == len(supervisors.__all__)
    imported = {
        name for name, value in vars(supervisors).items() if not name.startswith("_") and not hasattr(value, "__path__")
    }
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert imported - modules == set(supervisors.__all__)


@pytest.mark.parametrize("name", supervisors.__all__)
def test_everything_public_is_documented(name: str) -> None:
    assert getattr(supervisors, name).__doc__


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_do_nothing_to_the_world(module: str) -> None:
    assert {name.split(".")[0] for name in imports_of(PACKAGE / f"{module}.py")} & IMPURE == set()


def test_the_library_knows_nothing_of_its_user() -> None:
    for module in PACKAGE.glob("*.py"):
        assert not any(name.startswith(("wardwright", "tests")) for name in imports_of(module)), module


def test_the_library_needs_anyio_and_its_tools_for_tests_need_trio() -> None:
    needed: dict[str, set[str]] = {"": set(), "testing": set()}
    for module in PACKAGE.rglob("*.py"):
        imported = {name.split(".")[0] for name in imports_of(module)}
        needed["testing" if module.parent.name == "testing" else ""] |= imported - sys.stdlib_module_names
    assert needed[""] == {"supervisors", "anyio", "sniffio"}, "sniffio is used where anyio has brought it"
    assert needed["testing"] == {"supervisors", "anyio", "trio"}


def test_no_module_imports_itself_around_a_corner() -> None:
    graph = {
        path.stem: {name.removeprefix("supervisors.") for name in imports_of(path) if name.startswith("supervisors.")}
        for path in PACKAGE.glob("*.py")
    }
    done: set[str] = set()
    while ready := {name for name, needs in graph.items() if name not in done and needs <= done}:
        done |= ready
    assert done == set(graph)

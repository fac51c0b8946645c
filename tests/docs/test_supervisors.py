"""The pages of the supervision library: their programs run on both event loops.

The Python blocks of a page are one program that grows. A block repeats nothing: what it defines is added to what the blocks before
it have defined, and takes the place of what had the same name. A block that defines `main` is run, and has to print what the `text`
block behind it shows; tests that a block defines are run as well. Time is virtual.
"""

import ast
import dataclasses
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest

from supervisors.testing import run_virtual
from tests.docs.pages import PAGES, Block, blocks
from tests.supervisors.typing.checker import check

FOLDER = Path("docs/supervisors")
OUR_PAGES = [page for page in PAGES if page.parent == FOLDER]


@dataclasses.dataclass(frozen=True)
class Part:
    """A statement of a block: what it defines, or itself; and whether the blocks after it have it as well."""

    name: str
    text: str
    lasts: bool
    is_import: bool


@dataclasses.dataclass(frozen=True)
class Program:
    """What a page has come to with one of its blocks, and what that prints."""

    block: Block
    source: str
    defines: frozenset[str]
    shown: str | None

    def load(self) -> dict[str, Any]:
        module = ModuleType("example")
        exec(compile(self.source, self.block.id, "exec"), module.__dict__)
        return module.__dict__


def programs(page: Path) -> Iterator[Program]:
    """The programs of a page, one for each of its Python blocks."""
    found = list(blocks(page))
    parts: dict[str, Part] = {}
    for block, behind in zip_longest(found, found[1:]):
        if block.language != "python":
            continue
        added = {part.name: part for part in parts_of(block.text)}
        parts = {name: part for name, part in parts.items() if part.lasts and name not in added} | added
        ordered = sorted(parts.values(), key=lambda part: not part.is_import)
        shown = behind.text if behind is not None and behind.language == "text" else None
        yield Program(block, "\n\n".join(part.text for part in ordered) + "\n", frozenset(added), shown)


def parts_of(text: str) -> Iterator[Part]:
    """The statements of a block. One that defines nothing belongs to its block alone, and so does `main`."""
    lines = text.splitlines()
    for statement in ast.parse(text).body:
        decorators = getattr(statement, "decorator_list", [])
        first = min([statement.lineno, *(each.lineno for each in decorators)])
        part = "\n".join(lines[first - 1 : statement.end_lineno])
        name = getattr(statement, "name", part)
        lasts = name != "main" and not isinstance(statement, ast.If | ast.Expr)
        yield Part(name, part, lasts, isinstance(statement, ast.Import | ast.ImportFrom))


PROGRAMS = [program for page in OUR_PAGES for program in programs(page)]
RUNNING = [program for program in PROGRAMS if "main" in program.defines]
TESTS = [(program, name) for program in PROGRAMS for name in sorted(program.defines) if name.startswith("test_")]


def block_id(value: object) -> str | None:
    return value.block.id if isinstance(value, Program) else None


def test_programs_of_both_kinds_are_found() -> None:
    assert len(RUNNING) > 5
    assert TESTS
    assert all(program.shown is not None for program in RUNNING), "a program whose output is not shown"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("program", RUNNING, ids=block_id)
def test_a_program_prints_what_its_page_shows(
    program: Program, backend: Literal["asyncio", "trio"], capsys: pytest.CaptureFixture[str]
) -> None:
    run_virtual(program.load()["main"], backend=backend)
    assert capsys.readouterr().out == program.shown


@pytest.mark.parametrize(("program", "name"), TESTS, ids=block_id)
def test_a_test_on_a_page_passes(program: Program, name: str) -> None:
    program.load()[name]()


@pytest.mark.slow
def test_the_programs_satisfy_a_strict_type_checker(tmp_path: Path) -> None:
    sources = {f"{program.block.page.stem.replace('-', '_')}_{program.block.line}": program for program in PROGRAMS}
    complaints = check({name: program.source for name, program in sources.items()}, tmp_path)
    assert {name: found for name, found in complaints.items() if found} == {}

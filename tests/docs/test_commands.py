"""Every command that the documents show exists, with its options; and the page of commands leaves none out."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.docs.pages import PAGES, ROOT, blocks, inline_code, text_of
from wardwright.cli.main import app

REFERENCE = Path("docs/reference/commands.md")
# A command of ours, behind assignments and `sudo`: the program, and the words that follow it.
_OURS = re.compile(r"(?:(?:\w+=\S*|sudo(?: -u \w+)?) )*(?:\S*/)?(wardwright|make) (.*)")
_BETWEEN_COMMANDS = re.compile(r" (?:&&|\|\|?|;) ")


def _commands() -> dict[tuple[str, ...], Any]:
    """Every command that does something, by its words."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
        below = getattr(command, "commands", {})
        if not below:
            yield words, command
        for name, child in below.items():
            yield from walk(child, (*words, name))

    return dict(walk(typer.main.get_command(app), ()))


COMMANDS = _commands()
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def options_of(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts if option.startswith("--")}


def commands_on(page: Path) -> Iterator[tuple[str, list[str]]]:
    """The commands of ours that a page shows in shell blocks and in inline code: program and words."""
    lines = [line for block in blocks(page) if block.language == "sh" for line in joined(block.text)]
    for line in [*lines, *inline_code(page)]:
        for part in _BETWEEN_COMMANDS.split(re.sub(r"\s+#.*", "", line)):
            if ours := _OURS.fullmatch(part.strip()):
                yield ours[1], ours[2].split()


def joined(text: str) -> list[str]:
    """Lines, those that a backslash continues joined."""
    return text.replace("\\\n", " ").splitlines()


def fault_of(program: str, words: list[str]) -> str | None:
    """What is wrong with a command, if anything."""
    if program == "make":
        return next((f"no target {word}" for word in words if word not in TARGETS | {".venv/.ready"}), None)
    used = {word.partition("=")[0] for word in words if word.startswith("--")}
    name = next((tuple(words[:end]) for end in (2, 1) if tuple(words[:end]) in COMMANDS), None)
    if name is not None:
        unknown = used - options_of(COMMANDS[name])
        return f"no options {unknown}" if unknown else None
    is_group = any(known[: len(words)] == tuple(words) for known in COMMANDS)
    return None if is_group or used == set(words) else f"no command {words}"


def test_faults_are_found() -> None:
    assert fault_of("wardwright", ["receipts", "burn"])
    assert fault_of("wardwright", ["receipts", "list", "--all"])
    assert fault_of("make", ["coffee"])
    assert len(list(commands_on(Path("docs/tutorials/first-model.md")))) > 8


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_shown_exist(page: Path) -> None:
    assert {" ".join(words): fault for program, words in commands_on(page) if (fault := fault_of(program, words))} == {}


def test_the_reference_has_every_command_with_every_option() -> None:
    sections = re.split(r"^## ", text_of(REFERENCE), flags=re.MULTILINE)
    described = {title: text for title, _, text in (section.partition("\n") for section in sections)}
    titles = {"wardwright " + " ".join(name): command for name, command in COMMANDS.items()}
    assert {title for title in described if title.startswith("wardwright ")} == set(titles)
    for title, command in titles.items():
        named = set(re.findall(r"--[a-z][a-z-]+", described[title]))
        assert named == options_of(command), title

"""The project's pages, taken apart as far as the tests of the documents need: fenced blocks, links, headings, inline code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("contracts/**/*.md"))
)

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
_INLINE_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_TABLE_ROW = re.compile(r"^\| *(.*?) *\|$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and where it begins."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def id(self) -> str:
        return f"{self.page}:{self.line}"


def text_of(page: Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: Path) -> Iterator[Block]:
    text = text_of(page)
    for found in _FENCE.finditer(text):
        indent, language, inside = found.groups()
        inside = "".join(line.removeprefix(indent) for line in inside.splitlines(keepends=True))
        yield Block(page, text.count("\n", 0, found.start()) + 1, language, inside)


def blocks_in(*languages: str) -> list[Block]:
    """Every block of these languages, on every page."""
    return [block for page in PAGES for block in blocks(page) if block.language in languages]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", text_of(page))


def links(page: Path) -> list[str]:
    return _LINK.findall(prose(page))


def inline_code(page: Path) -> list[str]:
    return _INLINE_CODE.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """What links may name behind a `#`: headings as GitHub turns them into anchors."""
    headings = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(prose(page)))
    return {heading.strip().replace(" ", "-") for heading in headings}


def table_rows(page: Path, heading: str = "") -> list[list[str]]:
    """The cells of every table row below a heading (the whole page without one), headings of tables and rulers left out."""
    text = prose(page)
    if heading:
        _, _, text = text.partition(f"# {heading}\n")
        text = re.split(r"^#", text, maxsplit=1, flags=re.MULTILINE)[0]
    rows = [re.split(r" *(?<!\\)\| *", row) for row in _TABLE_ROW.findall(text)]
    rulers = {index for index, row in enumerate(rows) if set("".join(row)) <= set(":-")}
    return [row for index, row in enumerate(rows) if index not in rulers and index + 1 not in rulers]


def code_in(cell: str) -> list[str]:
    """The inline code of a table's cell."""
    return _INLINE_CODE.findall(cell)

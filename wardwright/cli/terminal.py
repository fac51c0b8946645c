"""How commands speak: results on stdout, progress and diagnostics on stderr, nothing but JSON on stdout when JSON was asked for.

Everything that callers, providers or files named goes through `visible` before a terminal sees it: an escape sequence in a name
must not move somebody's cursor.
"""

from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

# Tables that are not shown on a terminal are read by programs: no line may be broken or cut there.
_ENDLESS = 100_000


def visible(value: object) -> str:
    """A value as text in which every control character is spelled out."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def say(message: str) -> None:
    """One line of result."""
    typer.echo(visible(message))


def tell(message: str) -> None:
    """One line for the person in front of the terminal: a diagnostic, progress, a hint."""
    typer.echo(visible(message), err=True)


def show_json(value: object) -> None:
    """A result for programs."""
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def show(renderable: "RenderableType") -> None:
    """A result for people: a table, a tree. Off a terminal its lines end where their text does."""
    out = console()
    if out.is_terminal:
        out.print(renderable)
        return
    with out.capture() as captured:
        out.print(renderable)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def console(*, stderr: bool = False) -> "Console":
    """A console that takes text as it is and has colours only on a terminal without NO_COLOR."""
    from rich.console import Console

    made = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not made.is_terminal:
        made.width = _ENDLESS
    return made


def styled(value: object, style: str = "") -> "Text":
    """A cell or label, made visible."""
    from rich.text import Text

    return Text(visible(value), style=style)


def table(*columns: str, whole: int = 1) -> "Table":
    """An empty table with these headings. Cells of the first `whole` columns are never broken over lines: ids get copied."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        made.add_column(column, overflow="fold", no_wrap=place < whole)
    return made


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number with what it counts, of which the plural may be another than with an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"


@contextmanager
def counting(doing: str, what: str, total: int) -> "Iterator[Callable[[int], None]]":
    """A bar on a terminal while something is counted up to a total; nothing elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    err = console(stderr=True)
    if not err.is_terminal:
        yield lambda done: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(f"{doing} {what}", total=total or None)
        yield lambda done: progress.update(task, completed=done)

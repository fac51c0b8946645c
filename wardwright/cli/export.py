"""`wardwright receipts export`, `stats` and `tail`: many receipts at once, out of the data folder or a daemon."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wardwright.cli.filters import ModelOption, SinceOption, UntilOption, WhereOption, filters_of, known
from wardwright.cli.options import ConfigOption, JsonOption, ProcessesOption, UrlOption
from wardwright.cli.sinks import export_to_sink
from wardwright.cli.terminal import counted, counting, say, show, show_json, styled, table, tell

if TYPE_CHECKING:
    from wardwright.app.receipt_export import Block, Lines
    from wardwright.cli.receipt_source import ReceiptSource
    from wardwright.receipts.receipt import Receipt
    from wardwright.receipts.stats import Grouping, Percentiles, Stats, Tally

Format = Literal["ndjson", "csv", "parquet"]


def export(  # noqa: PLR0913 - each is an option of the command
    *,
    form: Annotated[
        Format,
        typer.Option(
            "--format", help="ndjson: whole receipts. csv: a flat line each. parquet: a row each, in typed columns."
        ),
    ] = "ndjson",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to; parquet needs one. [default: stdout]"),
    ] = None,
    to_sink: Annotated[
        str | None, typer.Option("--to-sink", metavar="ID", help="Send everything to a sink again, instead.")
    ] = None,
    after: Annotated[
        int,
        typer.Option("--from", metavar="SEQ", min=0, help="With --to-sink: only behind this position of the log."),
    ] = 0,
    since: SinceOption = None,
    until: UntilOption = None,
    model: ModelOption = None,
    where: WhereOption = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    processes: ProcessesOption = None,
) -> None:
    """Write receipts to stdout or a file, or send them to a sink. Newest first, whole as JSON, one a line, or flat as CSV or Parquet; to a
    sink oldest first.
    """
    from wardwright.app.side_by_side import usable_cores
    from wardwright.cli.receipt_source import look_through

    if to_sink is not None:
        _refuse_filters(output=output, since=since, until=until, model=model, where=where)
        export_to_sink(to_sink, after, config, url)
        return
    filters = filters_of(since=since, until=until, model=model, where=where)
    if form == "parquet":
        path = _named(output)
        look_through(config, url, lambda source: _write_parquet(source, filters, path))
        return
    heading, lines = _form_of(form)

    def write(source: "ReceiptSource") -> None:
        blocks = source.rendered(filters, lines, processes or usable_cores())
        if output is None:
            _print(chain(heading, (block.lines for block in blocks)))
            return
        with _exporting(source, filters, output) as count:
            _write(chain(heading, count.lines(blocks)), output)

    look_through(config, url, write)


def stats(
    *,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="GROUP",
            help="What to group by: model, version, target, provider, status, tenant, application, agent, user, session, tool.",
        ),
    ] = "model",
    since: SinceOption = None,
    until: UntilOption = None,
    model: ModelOption = None,
    where: WhereOption = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sum receipts up, group by group. How they ended, fallbacks, matches of stream rules, tokens, cost, and how long they took."""
    from wardwright.cli.receipt_source import look_through
    from wardwright.receipts.stats import tally

    grouping, filters = _grouping(by), filters_of(since=since, until=until, model=model, where=where)
    found = look_through(config, url, lambda source: tally(source.each(filters), grouping))
    if as_json:
        show_json(found)
    elif found.all.requests:
        _show_stats(found, by)
    else:
        tell("no receipts match" if filters else "no receipts yet")


def tail(
    *,
    count: Annotated[
        int, typer.Option("--lines", "-n", metavar="N", min=0, max=500, help="How many of the last to begin with.")
    ] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with those that end from now on.")] = False,
    model: ModelOption = None,
    where: WhereOption = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the last receipts, and with --follow every further one. Oldest first; each further one as it ends."""
    from wardwright.cli.receipt_source import ask
    from wardwright.cli.receipt_tail import lines_of

    filters = filters_of(model=model, where=where)

    def tell_all(source: "ReceiptSource") -> None:
        for line in lines_of(source, filters, count, follow=follow, as_json=as_json):
            say(line)

    ask(config, url, tell_all)


def _refuse_filters(**given: object) -> None:
    """A sink takes what its settings say, whole. Raises: typer.BadParameter."""
    for name, value in given.items():
        if value:
            raise typer.BadParameter("a sink is sent everything, in the form that it takes", param_hint=f"--{name}")


def _named(output: Path | None) -> Path:
    if output is None or (output.exists() and not output.is_file()):
        raise typer.BadParameter("Parquet goes to a file: name it", param_hint="--output")
    return output


def _form_of(form: Format) -> "tuple[Iterable[bytes], Lines]":
    """What stands above the lines, and what makes them."""
    from wardwright.app.receipt_export import csv_heading, csv_rows, ndjson_lines

    return ([csv_heading()], csv_rows) if form == "csv" else ((), ndjson_lines)


class _Count:
    """Counts receipts on their way to a file; `at` is told how many it were so far."""

    def __init__(self, at: Callable[[int], None]) -> None:
        self.done = 0
        self._at = at

    def lines(self, blocks: "Iterable[Block]") -> Iterator[bytes]:
        for block in blocks:
            yield block.lines
            self._add(block.receipts)

    def each(self, receipts: "Iterable[Receipt]") -> "Iterator[Receipt]":
        for receipt in receipts:
            yield receipt
            self._add(1)

    def _add(self, receipts: int) -> None:
        self.done += receipts
        self._at(self.done)


@contextlib.contextmanager
def _exporting(source: "ReceiptSource", filters: Mapping[str, str], output: Path) -> Iterator[_Count]:
    """Show how many receipts were written so far, and say in the end how many it are, and where."""
    with counting("exporting", "receipts", source.total(filters)) as at:
        count = _Count(at)
        yield count
    tell(f"{counted(count.done, 'receipt')} written to {output}")


def _print(lines: Iterator[bytes]) -> None:
    for line in lines:
        typer.echo(line, nl=False)


def _write(lines: Iterator[bytes], output: Path) -> None:
    """To a file that is there only when it is whole."""
    from wardwright.cli.client import CommandFailed

    is_taken_as_it_is = (
        output.exists() and not output.is_file()
    )  # a device or a pipe: a file in its place would help nobody
    try:
        if is_taken_as_it_is:
            _fill(output, lines)
        else:
            _replace(output, lines)
    except OSError as error:
        raise CommandFailed(f"cannot write {output}: {error.strerror}") from error


def _replace(output: Path, lines: Iterator[bytes]) -> None:
    draft = output.with_name(f".{output.name}.new")
    try:
        _fill(draft, lines)
        draft.replace(output)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def _fill(path: Path, lines: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(lines)


def _write_parquet(source: "ReceiptSource", filters: Mapping[str, str], output: Path) -> None:
    from wardwright.app.exports import write_parquet

    with _exporting(source, filters, output) as count:
        write_parquet(count.each(source.each(filters)), output)


def _grouping(by: str) -> "Grouping":
    from wardwright.receipts.stats import GROUPINGS

    known(by, GROUPINGS, "--by")
    return next(grouping for grouping in GROUPINGS if grouping == by)


def _show_stats(found: "Stats", by: str) -> None:
    headings = (
        by.upper(),
        "REQUESTS",
        "COMPLETED",
        "FALLBACKS",
        "TRIGGERS",
        "TOKENS",
        "USD",
        "P50",
        "P95",
        "P99",
        "FIRST TOKEN",
    )
    made = table(*headings)
    for tally in found.groups:
        made.add_row(*map(styled, _cells(tally, tally.group or "-")))
    if len(found.groups) > 1:
        made.add_row(*map(styled, _cells(found.all, "all")))
    show(made)
    if found.all.faded:
        tell(f"{found.all.faded} of them have faded: of these no triggers and no first tokens are known any more")


def _cells(tally: "Tally", name: str) -> tuple[object, ...]:
    from wardwright.receipts.events import ANSWERED

    latency, first = tally.latency_ms, tally.first_token_ms
    return (
        name,
        tally.requests,
        sum(tally.statuses.get(status, 0) for status in ANSWERED),
        tally.fallbacks,
        tally.triggers,
        tally.prompt_tokens + tally.completion_tokens,
        f"{tally.cost_usd:.4f}",
        *_milliseconds(latency),
        "-" if first is None else f"{first.p50:.0f} ms",
    )


def _milliseconds(found: "Percentiles | None") -> tuple[str, ...]:
    if found is None:
        return ("-", "-", "-")
    return tuple(f"{value:.0f} ms" for value in (found.p50, found.p95, found.p99))

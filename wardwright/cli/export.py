"""`wardwright receipts export`, `stats` and `tail`: many receipts at once, out of the data folder or a daemon."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wardwright.cli.options import ConfigOption, JsonOption, SinceOption, UrlOption, WhereOption, filters_of
from wardwright.cli.terminal import say, show, show_json, styled, table, tell

if TYPE_CHECKING:
    from wardwright.cli.receipt_source import ReceiptSource
    from wardwright.receipts.fold import Receipt
    from wardwright.receipts.stats import Grouping, Percentiles, Stats, Tally

Format = Literal["ndjson", "csv"]

_ModelOption = Annotated[str | None, typer.Option("--model", help="Only of this model.")]


def export(
    *,
    form: Annotated[Format, typer.Option("--format", help="ndjson: whole receipts. csv: a flat line each.")] = "ndjson",
    since: SinceOption = None,
    model: _ModelOption = None,
    where: WhereOption = None,
    config: ConfigOption = None,
    url: UrlOption = None,
) -> None:
    """Write receipts to stdout, newest first, one a line: whole as JSON, or flat as CSV."""
    from wardwright.cli.receipt_source import look_through

    filters = filters_of(since=since, model=model, where=where)
    look_through(config, url, lambda source: _write(source.each(filters), form))


def stats(
    *,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            help="What to group by: model, version, target, provider, status, tenant, application, agent, user, session.",
        ),
    ] = "model",
    since: SinceOption = None,
    model: _ModelOption = None,
    where: WhereOption = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sum receipts up: how they ended, fallbacks, matches of stream rules, tokens, cost, and how long they took."""
    from wardwright.cli.receipt_source import look_through
    from wardwright.receipts.stats import tally

    grouping, filters = _grouping(by), filters_of(since=since, model=model, where=where)
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
        int, typer.Option("--lines", "-n", min=0, max=500, help="How many of the last to begin with.")
    ] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with those that end from now on.")] = False,
    model: _ModelOption = None,
    where: WhereOption = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the last receipts, oldest first, and with --follow every further one as it ends."""
    from wardwright.cli.receipt_source import ask
    from wardwright.cli.receipt_tail import lines_of

    filters = filters_of(model=model, where=where)

    def tell_all(source: "ReceiptSource") -> None:
        for line in lines_of(source, filters, count, follow=follow, as_json=as_json):
            say(line)

    ask(config, url, tell_all)


def _write(receipts: "Iterator[Receipt]", form: Format) -> None:
    import msgspec

    from wardwright.receipts.table_text import csv_lines

    if form == "csv":
        for line in csv_lines(receipts):
            typer.echo(line, nl=False)
    else:
        for receipt in receipts:
            typer.echo(msgspec.json.encode(receipt))


def _grouping(by: str) -> "Grouping":
    from wardwright.receipts.stats import GROUPINGS

    for grouping in GROUPINGS:
        if grouping == by:
            return grouping
    raise typer.BadParameter(f"{by!r} is not one of {', '.join(GROUPINGS)}", param_hint="--by")


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

"""`wardwright receipts`: the records of what was asked, decided, tried and answered.

They come from the daemon while one answers, else from its data folder, which is read and never written.
"""

from typing import Annotated, Any, get_args

import typer

from wardwright.cli.filters import ModelOption, SinceOption, UntilOption, WhereOption, filters_of, known
from wardwright.cli.options import ConfigOption, JsonOption, UrlOption
from wardwright.cli.terminal import show, show_json, styled, table, tell

_DEFAULT_LIMIT = 50

receipts = typer.Typer(help="The record of every request.", no_args_is_help=True)


@receipts.command("list")
def list_receipts(  # noqa: PLR0913 - each is an option of the command
    *,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="How many, newest first.")] = _DEFAULT_LIMIT,
    since: SinceOption = None,
    until: UntilOption = None,
    model: ModelOption = None,
    status: Annotated[
        str | None,
        typer.Option("--status", metavar="STATUS", help="Only of this final status, such as completed, or open."),
    ] = None,
    session: Annotated[str | None, typer.Option("--session", metavar="ID", help="Only of this session id.")] = None,
    rules_did: Annotated[
        str | None,
        typer.Option("--rules-did", metavar="ACTION", help="Only where stream rules did this, such as block."),
    ] = None,
    tool: Annotated[
        str | None, typer.Option("--tool", metavar="NAME", help="Only those about the tool of this name.")
    ] = None,
    where: WhereOption = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List receipts, newest first."""
    from wardwright.cli.receipt_source import ask

    filters = filters_of(
        since=since,
        until=until,
        model=model,
        where=where,
        status=_known_status(status),
        session_id=session,
        stream_policy_action=_known_action(rules_did),
        tool_name=tool,
    )
    listed = ask(config, url, lambda source: source.list(filters, limit))
    if as_json:
        show_json(listed)
        return
    if listed["data"]:
        _show_list(listed["data"])
    else:
        tell("no receipts yet" if not filters else "no receipts match")
    if listed["next_cursor"] is not None:
        tell("there are more; --limit shows them")


@receipts.command("show")
def show_receipt(
    receipt_id: Annotated[str, typer.Argument(metavar="ID", help="The receipt, by its id: rcpt_ and hex digits.")],
    *,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell the story of one request. Who asked, what was decided and why, what was tried, how it ended."""
    from wardwright.cli.receipt_source import ask, read_receipt
    from wardwright.cli.receipt_story import story

    receipt = ask(config, url, lambda source: source.receipt(receipt_id))
    if as_json:
        show_json(receipt)
    else:
        show(story(read_receipt(receipt)))


def _known_status(status: str | None) -> str | None:
    from wardwright.receipts.query import STATUSES

    return None if status is None else known(status, STATUSES, "--status")


def _known_action(action: str | None) -> str | None:
    from wardwright.domain.policy import StreamAction

    return None if action is None else known(action, get_args(StreamAction), "--rules-did")


def _show_list(summaries: list[dict[str, Any]]) -> None:
    from wardwright.cli.receipt_story import clock, status_style

    with_sessions = any(summary.get("session_id") for summary in summaries)
    headings = ("RECEIPT", "TIME", "MODEL", "STATUS", "TARGET", *(("SESSION",) if with_sessions else ()))
    made = table(*headings, whole=2)
    for summary in summaries:
        status = summary.get("status") or "open"
        cells = [
            styled(summary["receipt_id"]),
            styled(clock(summary["created_at"])),
            styled(summary["model_id"]),
            styled(status, status_style(status)),
            styled(summary.get("selected_model") or "-"),
        ]
        if with_sessions:
            cells.append(styled(summary.get("session_id") or "-"))
        made.add_row(*cells)
    show(made)

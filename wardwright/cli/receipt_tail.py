"""The lines of `wardwright receipts tail`: what is there, then whatever ends, each once."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from wardwright.cli.client import CommandFailed, NoAnswer
from wardwright.cli.receipt_source import ReceiptSource
from wardwright.cli.receipt_story import clock

_INTERVAL_S = 1.0
_AT_ONCE = 200


def lines_of(
    source: ReceiptSource,
    filters: Mapping[str, str],
    count: int,
    *,
    follow: bool,
    as_json: bool,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[str]:
    """The last `count` receipts, oldest first; with `follow` without end every further one once it has ended.

    Raises: WardwrightError, CommandFailed when a daemon that answered before answers no more.
    """
    render = _as_json if as_json else _as_line
    window = source.list(filters, max(count, 1))["data"]
    yield from (render(summary) for summary in reversed(window[:count]))
    # What is older than all of these ended before anybody looked. Of the others, those that are open are still to come.
    floor = min((summary["receipt_id"] for summary in window), default="")
    told = {summary["receipt_id"] for summary in window if summary["status"] is not None}
    while follow:
        pause(_INTERVAL_S)
        try:
            window = _back_to(source, filters, min(told, default=floor))
        except NoAnswer as gone:
            # No longer a reason to ask somebody else instead, who would tell what was told already.
            raise CommandFailed(gone.message) from gone
        for summary in reversed(window):
            if summary["receipt_id"] >= floor and summary["status"] is not None and summary["receipt_id"] not in told:
                yield render(summary)
        told = {summary["receipt_id"] for summary in window if summary["status"] is not None}


def _back_to(source: ReceiptSource, filters: Mapping[str, str], receipt_id: str) -> list[Mapping[str, Any]]:
    """The newest receipts back to this one at least, or as many as there are."""
    wanted = _AT_ONCE
    while True:
        window: list[Mapping[str, Any]] = source.list(filters, wanted)["data"]
        if len(window) < wanted or window[-1]["receipt_id"] <= receipt_id:
            return window
        wanted *= 2


def _as_json(summary: Mapping[str, Any]) -> str:
    return msgspec.json.encode(summary).decode()


def _as_line(summary: Mapping[str, Any]) -> str:
    target = summary["selected_model"] or "-"
    status = summary["status"] or "open"
    return f"{clock(summary['created_at'])}  {summary['receipt_id']}  {summary['model_id']}  {status}  {target}"

"""Receipts as rows of a table, for spreadsheets and databases: one flat line each, in CSV."""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from wardwright.receipts.fold import attempt_count, summarise
from wardwright.receipts.receipt import Receipt

_SUMMARY = (
    "model_id",
    "model_version",
    "status",
    "simulation",
    "selected_model",
    "selected_provider",
    "stream_policy_action",
    "tenant_id",
    "application_id",
    "consuming_agent_id",
    "consuming_user_id",
    "session_id",
    "run_id",
)
_TOOLS = ("tool_namespace", "tool_name", "tool_phase", "tool_source", "tool_call_id")
COLUMNS = (
    "receipt_id",
    "created_at",
    *_SUMMARY,
    "attempts",
    "latency_ms",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
    "released_bytes",
    "error_code",
    *_TOOLS,
)


def csv_lines(receipts: Iterable[Receipt]) -> Iterator[str]:
    """The heading, then a line for each receipt. Unknown is empty, times are ISO 8601 in UTC. Purity: pure."""
    yield _line(COLUMNS)
    for receipt in receipts:
        yield _line(_row(receipt))


def _row(receipt: Receipt) -> tuple[object, ...]:
    summary, final = summarise(receipt), receipt.final
    usage = final.usage if final else None
    return (
        receipt.receipt_id,
        datetime.fromtimestamp(receipt.created_at, tz=UTC).isoformat().replace("+00:00", "Z"),
        *(_cell(getattr(summary, name)) for name in _SUMMARY),
        attempt_count(receipt),
        final.latency_ms if final else None,
        usage.prompt_tokens if usage else None,
        usage.completion_tokens if usage else None,
        final.cost_usd if final else None,
        final.released_bytes if final else None,
        final.error_code if final else None,
        *(getattr(summary, name) for name in _TOOLS),
    )


def _cell(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def _line(cells: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue()

"""Receipts as typed columns: they say what the receipt says, and the same as the CSV export where both have a column."""

import csv
import io

import msgspec
import pytest

from tests.wardwright.receipts.receipt_samples import entries, fallback_story, opened
from wardwright.domain.tools import ToolContext, ToolIdentity
from wardwright.receipts.columns import COLUMNS, ColumnType, row_of
from wardwright.receipts.events import AttemptFinished, Closed
from wardwright.receipts.fold import fold
from wardwright.receipts.receipt import Receipt
from wardwright.receipts.table_text import COLUMNS as CSV_COLUMNS
from wardwright.receipts.table_text import csv_lines

ANSWERED = fold(entries(fallback_story()))
OPEN = fold(entries([opened()]))
TOOLS = ToolContext(
    "planning", "exact", ToolIdentity("openai.function", "search", "tool_choice"), ("search", "shell"), 2, "call_1"
)
WITH_TOOLS = fold(entries([opened(tools=TOOLS)]))
BLOCKED = fold(entries([opened(simulation=True), Closed("policy_blocked", 0, error_code="policy_blocked")]))

_PYTHON: dict[ColumnType, type | tuple[type, ...]] = {
    "text": str,
    "texts": list,
    "integer": int,
    "number": float,
    "flag": bool,
    "time": str,
    "json": (list, dict),
}


def test_names_are_given_once_each() -> None:
    names = [column.name for column in COLUMNS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("receipt", [ANSWERED, OPEN, BLOCKED, WITH_TOOLS])
def test_a_row_says_what_the_csv_says(receipt: Receipt) -> None:
    (written,) = csv.DictReader(io.StringIO("".join(csv_lines([receipt]))))
    row = row_of(receipt)
    said = {name: "" if row[name] is None else str(row[name]) for name in CSV_COLUMNS}
    assert {name: value.lower() if isinstance(row[name], bool) else value for name, value in said.items()} == written


@pytest.mark.parametrize("receipt", [ANSWERED, OPEN, BLOCKED, WITH_TOOLS])
def test_a_cell_is_of_its_columns_type_or_empty(receipt: Receipt) -> None:
    row = msgspec.json.decode(msgspec.json.encode(row_of(receipt)))
    wrong = [
        column.name
        for column in COLUMNS
        if row[column.name] is not None and not isinstance(row[column.name], _PYTHON[column.type])
    ]
    assert wrong == []


def test_what_only_these_columns_have() -> None:
    row = msgspec.json.decode(msgspec.json.encode(row_of(ANSWERED)))
    assert (row["decided_model"], row["selected_model"], row["fallback"]) == ("local/small", "cloud/large", True)
    assert (row["first_token_ms"], row["finish_reasons"], row["closed_at"]) == (
        90.0,
        ["stop"],
        "2027-01-15T08:00:06.250Z",
    )
    assert [attempt["status"] for attempt in row["attempt_details"]] == ["failed", "completed"]
    assert [skip["target"] for skip in row["skipped"]] == ["local/tiny"]


def test_an_open_receipt_has_no_end_and_is_no_fallback_yet() -> None:
    row = row_of(OPEN)
    assert [row[name] for name in ("closed_at", "status", "fallback", "latency_ms", "first_token_ms")] == [None] * 5


def test_the_tools_that_the_last_attempt_called_have_a_column() -> None:
    called = AttemptFinished(1, "local/small", "completed", 0.0, 1.0, called_tools=("search",))
    assert row_of(fold(entries([opened(), called])))["called_tools"] == ("search",)
    assert row_of(OPEN)["called_tools"] == ()


def test_what_is_known_of_tools_has_columns() -> None:
    row = row_of(WITH_TOOLS)
    named = ("tool_namespace", "tool_name", "tool_phase", "tool_source", "tool_call_id", "available_tools")
    assert tuple(row[name] for name in named) == (
        "openai.function",
        "search",
        "planning",
        "tool_choice",
        "call_1",
        ("search", "shell"),
    )

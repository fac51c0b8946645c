"""Receipts as CSV: what a CSV reader makes of it is what the receipts say."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from tests.wardwright.receipts.receipt_samples import entries, fallback_story, opened
from wardwright.domain.caller import Attributed, Caller
from wardwright.receipts.events import Closed
from wardwright.receipts.fold import fold
from wardwright.receipts.receipt import Receipt
from wardwright.receipts.table_text import COLUMNS, csv_lines


def rows(*receipts: Receipt) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(csv_lines(receipts)))))


def test_a_receipt_is_a_row_under_the_heading() -> None:
    (row,) = rows(fold(entries(fallback_story())))
    assert tuple(row) == COLUMNS
    assert row["created_at"] == "2027-01-15T08:00:01Z"
    assert (row["status"], row["selected_model"], row["attempts"]) == ("completed", "cloud/large", "2")
    assert (row["latency_ms"], row["cost_usd"], row["simulation"]) == ("820.0", "", "false")


def test_of_an_open_receipt_the_end_is_empty() -> None:
    (row,) = rows(fold(entries([opened()])))
    assert (row["status"], row["latency_ms"], row["error_code"]) == ("", "", "")


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_whatever_a_caller_is_called_stays_one_cell(name: str) -> None:
    caller = Caller(tenant_id=Attributed(name, "header"), session_id=Attributed("s", "header"))
    lines = list(csv_lines([fold(entries([opened(caller=caller), Closed("completed", 0)]))]))
    (_, row) = csv.reader(io.StringIO("".join(lines), newline=""))
    assert dict(zip(COLUMNS, row, strict=True))["tenant_id"] == name
    assert dict(zip(COLUMNS, row, strict=True))["session_id"] == "s"

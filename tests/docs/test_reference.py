"""The reference pages name what the code has, neither more nor less."""

import re
import tomllib
from pathlib import Path
from typing import get_args

import duckdb
import msgspec
import pytest

from tests.contracts.openapi import OPERATIONS
from tests.docs.configuration_tables import PAGE, current_page
from tests.docs.pages import ROOT, code_in, table_rows, text_of
from tests.wardwright.receipts.receipt_samples import entries, fallback_story
from wardwright.config.sinks import SinkSettings
from wardwright.domain.caller import Caller
from wardwright.domain.errors import FailureClass, RequestError
from wardwright.edge.errors import STATUS_BY_CODE, error_answer, http_error_answer
from wardwright.receipts import receipt
from wardwright.receipts.events import Decision, FinalStatus, RequestSummary
from wardwright.receipts.fold import fold
from wardwright.runtime.instruments import Counts, Durations
from wardwright.runtime.metrics import Metrics
from wardwright.runtime.sink_figures import SinkFigures
from wardwright.sinks.genai_spans import spans_of
from wardwright.sinks.parquet_file import write_parquet

REFERENCE = Path("docs/reference")


def test_the_tables_of_the_configuration_are_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == current_page(page), "run: python -m tests.docs.configuration_tables"


class TestErrors:
    def test_every_code_is_listed_with_its_status_and_type(self) -> None:
        rows = table_rows(REFERENCE / "errors.md", "Codes")
        listed = {code_in(code)[0]: (int(status), code_in(kind)[0]) for status, code, kind, _ in rows}
        assert listed == {code: (status, type_of(code)) for code, status in STATUS_BY_CODE.items()}

    def test_every_failure_class_is_listed(self) -> None:
        rows = table_rows(REFERENCE / "errors.md", "Failure classes")
        assert [code_in(row[0])[0] for row in rows] == list(get_args(FailureClass))


def type_of(code: str) -> str:
    if code in ("not_found", "method_not_allowed"):
        return http_error_answer(STATUS_BY_CODE[code], "GET", "/").type
    return error_answer(RequestError("x", code=code)).type


def test_every_metric_is_listed_with_its_labels() -> None:
    listed = {code_in(row[0])[0]: (row[1], code_in(row[2])) for row in table_rows(REFERENCE / "metrics.md")}
    existing = {}
    for instrument in vars(Metrics()).values():
        for family in instrument.describe() if hasattr(instrument, "describe") else ():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            is_own = isinstance(instrument, Counts | Durations | SinkFigures)
            existing[name] = (family.type, list(instrument.label_names if is_own else instrument._labelnames))
    assert listed == existing


class TestReceipts:
    @pytest.mark.parametrize(
        ("heading", "type"),
        [
            ("The receipt", receipt.Receipt),
            ("request", RequestSummary),
            ("decision", Decision),
            ("attempts", receipt.Attempt),
            ("events", receipt.ReceiptEvent),
        ],
    )
    def test_every_field_is_listed(self, heading: str, type: type[msgspec.Struct]) -> None:
        listed = [name for row in table_rows(REFERENCE / "receipt.md", heading) for name in code_in(row[0])]
        assert sorted(listed) == sorted(type.__struct_fields__)

    def test_every_column_is_listed_with_its_type(self, tmp_path: Path) -> None:
        rows = table_rows(REFERENCE / "receipt.md", "Columns")
        listed = {name: code_in(row[1])[0] for row in rows for name in code_in(row[0])}
        write_parquet([], tmp_path / "none.parquet")
        with duckdb.connect(":memory:") as database:
            described = database.execute(f"DESCRIBE SELECT * FROM '{tmp_path}/none.parquet'").fetchall()
        assert listed == {name: type for name, type, *_ in described}

    def test_every_fact_of_a_caller_is_named(self) -> None:
        _, _, section = text_of(REFERENCE / "receipt.md").partition("\n## caller\n")
        fields = Caller.__struct_fields__
        assert set(fields) <= set(code_in(section.partition("\n## ")[0]))

    def test_how_it_ended_is_listed(self) -> None:
        rows = [code_in(row[0]) for row in table_rows(REFERENCE / "receipt.md", "final")]
        fields = [name for row in rows for name in row if name in receipt.Final.__struct_fields__]
        statuses = [name for row in rows for name in row if name not in fields]
        assert sorted(fields) == sorted(receipt.Final.__struct_fields__)
        assert statuses == list(get_args(FinalStatus))

    def test_the_guide_to_receipts_has_every_status(self) -> None:
        rows = table_rows(Path("docs/how-to/read-receipts.md"), "What a status means")
        assert [status for row in rows for status in code_in(row[0])] == list(get_args(FinalStatus))


def test_every_kind_of_sink_is_listed_with_what_it_needs() -> None:
    listed = {code_in(row[0])[0]: code_in(row[2]) for row in table_rows(REFERENCE / "sinks.md", "Sinks")}
    kinds = {str(kind.__struct_config__.tag) for kind in get_args(SinkSettings)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = kinds & set(project["optional-dependencies"])
    assert {kind: listed.get(kind) for kind in kinds} == {
        kind: [f"wardwright[{kind}]"] if kind in extras else [] for kind in kinds
    }


def test_every_attribute_of_a_span_is_listed() -> None:
    listed = table_rows(REFERENCE / "sinks.md", "opentelemetry")
    rows = {row[0]: {code for code in code_in(row[3]) if "." in code} for row in listed}
    request, attempt, *_ = spans_of(fold(entries(fallback_story())))
    assert rows == {"request": set(request.attributes), "attempt": set(attempt.attributes)}


def test_every_endpoint_is_listed() -> None:
    rows = table_rows(REFERENCE / "http.md")
    listed = {tuple(code.split(" ")) for row in rows for code in code_in(row[0]) if re.match(r"[A-Z]+ /", code)}
    assert listed == set(OPERATIONS)


def test_every_dependency_has_its_row_with_the_locked_version() -> None:
    page = Path("docs/decisions/0007-dependencies.md")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {name: needs for name, needs in project["optional-dependencies"].items() if name != "testing"}
    declared = [*project["dependencies"], *(needed for needs in extras.values() for needed in needs)]
    names = {re.split(r"[\[><=;]", requirement)[0] for requirement in declared}
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    locked = {
        name: version for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", lock, re.MULTILINE) if name in names
    }
    assert {row[0]: row[1] for row in table_rows(page)} == locked

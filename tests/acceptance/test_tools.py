"""Receipts are found by what their requests had to do with tools, over HTTP."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.conftest import gateway_config_of
from tests.acceptance.daemon import Daemon, run_daemon
from tests.support.upstream import Upstream

USER = {"role": "user", "content": "what is in the file"}
READ, SQL = {"type": "function", "function": {"name": "read_file"}}, {"type": "custom", "custom": {"name": "sql"}}
CALL = {"id": "call_77", "type": "function", "function": {"name": "read_file", "arguments": '{"path":"/private"}'}}
CALLED = [
    USER,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_77", "content": "what nobody else may read"},
]
REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {"messages": [USER]},
    "offered": {"messages": [USER], "tools": [READ]},
    "chosen": {
        "messages": [USER],
        "tools": [READ, SQL],
        "tool_choice": {"type": "custom", "custom": {"name": "sql"}},
    },
    "interpreted": {"messages": CALLED, "tools": [READ, SQL]},
}
FOUND_BY = {
    ("tool_namespace", "openai.function"): {"offered", "interpreted"},
    ("tool_namespace", "openai.tool"): {"chosen"},
    ("tool_name", "read_file"): {"offered", "interpreted"},
    ("tool_name", "sql"): {"chosen"},
    ("tool_phase", "planning"): {"offered", "chosen"},
    ("tool_phase", "result_interpretation"): {"interpreted"},
    ("tool_source", "declared_tool"): {"offered"},
    ("tool_source", "tool_choice"): {"chosen"},
    ("tool_source", "assistant_tool_call"): {"interpreted"},
    ("tool_call_id", "call_77"): {"interpreted"},
    ("tool_call_id", "call_7"): set[str](),
    ("tool_policy_status", "blocked"): set[str](),
    ("tool_risk_class", "unknown"): set[str](),
}


class Asked:
    """A daemon that was asked every one of `REQUESTS`, and the receipts of the answers by name."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.receipts: dict[str, str] = {}
        for name, body in REQUESTS.items():
            answer = daemon.chat(model="test-model", **body)
            assert answer.status_code == 200, answer.text
            self.receipts[name] = answer.headers["x-wardwright-receipt-id"]


@pytest.fixture(scope="module")
def asked(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    config = gateway_config_of(shared_upstream, {"test-model": ["ok"], "calling-model": ["tool-call"]})
    with run_daemon(tmp_path_factory.mktemp("daemon"), config) as daemon:
        yield Asked(daemon)


@pytest.mark.parametrize(("name", "value"), FOUND_BY)
def test_a_receipt_is_found_by_its_tool(asked: Asked, name: str, value: str) -> None:
    found = {summary["receipt_id"] for summary in asked.daemon.receipts(model="test-model", **{name: value})}
    assert found == {asked.receipts[one] for one in FOUND_BY[name, value]}


def test_a_receipt_tells_what_its_request_had_to_do_with_tools(asked: Asked) -> None:
    assert asked.daemon.receipt(asked.receipts["interpreted"])["request"]["tool_context"] == {
        "phase": "result_interpretation",
        "confidence": "exact",
        "primary_tool": {"namespace": "openai.function", "name": "read_file", "source": "assistant_tool_call"},
        "available_tools": ["read_file", "sql"],
        "available_count": 2,
        "tool_call_id": "call_77",
        "result_status": "unknown",
    }
    assert "tool_context" not in asked.daemon.receipt(asked.receipts["plain"])["request"]
    by_id = {summary["receipt_id"]: summary for summary in asked.daemon.receipts()}
    assert not [name for name in by_id[asked.receipts["plain"]] if name.startswith("tool_")]
    written = json.dumps([asked.daemon.receipt(one) for one in asked.receipts.values()])
    assert "/private" not in written
    assert "nobody else" not in written


def test_an_attempt_names_the_tools_that_its_answer_called(asked: Asked) -> None:
    answer = asked.daemon.chat(model="calling-model", stream=True, **REQUESTS["offered"])
    assert answer.status_code == 200, answer.text
    (called,) = asked.daemon.receipt(answer.headers["x-wardwright-receipt-id"])["attempts"]
    assert called["called_tools"] == ["look_up"]
    (said,) = asked.daemon.receipt(asked.receipts["offered"])["attempts"]
    assert "called_tools" not in said

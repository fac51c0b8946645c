"""Models for tests over HTTP, as a test suite of somebody else's would use them: placed, called, told of in receipts."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import gateway_config
from tests.acceptance.daemon import Daemon, run_daemon
from tests.acceptance.load import Seen, read_stream, streams
from tests.support.upstream import Upstream

ALLOWED = {"WARDWRIGHT_ALLOW_TEST_CONFIG": "1"}
TINY, MEDIUM, LARGE = (
    {"model": f"{name}/model", "context_window": window}
    for name, window in (("tiny", 8), ("medium", 32), ("large", 256))
)


@pytest.fixture(scope="module")
def daemon(shared_upstream: Upstream, backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    config = gateway_config(shared_upstream, "ok-n20-p60", backend=backend)
    with run_daemon(tmp_path_factory.mktemp("daemon"), config, environment=ALLOWED) as running:
        yield running


def place(daemon: Daemon, *targets: Mapping[str, Any], status: int = 200, **keys: Any) -> dict[str, Any]:
    artifact = {"model_id": "unit-model", "version": "unit-version", "targets": targets, **keys}
    with daemon.client() as client:
        answer = client.post("/__test/config", json=artifact)
        assert answer.status_code == status, answer.text
        placed: dict[str, Any] = answer.json()
        return placed


def decided(daemon: Daemon, text: str, **fields: Any) -> dict[str, Any]:
    """What the receipt of a call says was decided."""
    answer = daemon.chat(model="unit-model", messages=[{"role": "user", "content": text}], **fields)
    decision: dict[str, Any] = daemon.receipt(answer.headers["x-wardwright-receipt-id"])["decision"]
    return decision


def test_without_leave_there_is_nothing(shared_upstream: Upstream, tmp_path: Path) -> None:
    with run_daemon(tmp_path, gateway_config(shared_upstream, "ok")) as daemon:
        assert place(daemon, TINY, status=404)["error"]["code"] == "not_found"


def test_a_mock_says_where_it_was_routed(daemon: Daemon) -> None:
    assert place(daemon, TINY, MEDIUM, LARGE) == {
        "status": "ok",
        "model_id": "unit-model",
        "version": "unit-version",
        "targets": ["tiny/model", "medium/model", "large/model"],
    }
    answer = daemon.chat(model="unit-model", messages=[{"role": "user", "content": "stream code"}]).json()
    content = answer["choices"][0]["message"]["content"]
    assert content == "Mock Wardwright response routed to tiny/model. Estimated prompt tokens: 4."
    receipt = daemon.receipt(answer["wardwright"]["receipt_id"])
    assert (receipt["model_id"], receipt["model_version"]) == ("unit-model", "unit-version")
    assert (receipt["decision"]["selected_model"], receipt["decision"]["selected_provider"]) == ("tiny/model", "tiny")
    assert receipt["attempts"][0]["usage"]["source"] == "estimated"


@pytest.mark.parametrize(
    ("keys", "length", "selected", "planned", "skipped"),
    [
        (
            {"dispatchers": [{"id": "d", "models": ["small/m", "medium/m", "large/m"]}]},
            *(124, "medium/m", ["medium/m", "large/m"], ["small/m"]),
        ),
        (
            {"cascades": [{"id": "c", "targets": ["small/m", "medium/m", "large/m"]}]},
            *(124, "medium/m", ["medium/m", "large/m"], ["small/m"]),
        ),
        (
            {
                "alloys": [
                    {
                        "id": "a",
                        "strategy": "all",
                        "partial_context": True,
                        "constituents": [{"model": "medium/m"}, {"model": "large/m"}],
                    }
                ]
            },
            *(60, "medium/m", ["medium/m", "large/m"], []),
        ),
    ],
    ids=["dispatcher", "cascade", "alloy"],
)
def test_worked_examples(
    daemon: Daemon, keys: dict[str, Any], length: int, selected: str, planned: list[str], skipped: list[str]
) -> None:
    windows = {"small/m": 16, "medium/m": 64, "large/m": 256}
    named = [name for name in windows if name in str(keys)]
    place(daemon, *({"model": name, "context_window": windows[name]} for name in named), **keys)
    decision = decided(daemon, "x" * length)
    assert decision["selected_model"] == selected
    assert [target["model"] for target in decision["selected_models"]] == planned
    assert [skip["target"] for skip in decision["skipped"]] == skipped


def test_a_script_answers_by_chunk_and_may_break(daemon: Daemon) -> None:
    script = {"model": "canned/m", "context_window": 100, "provider_kind": "canned_sequence"}
    place(daemon, {**script, "canned_stream_chunks": ["one ", "two"], "canned_outputs": ["whole"]})
    assert read_stream(daemon, Seen(), model="unit-model").text == "one two"
    assert daemon.chat(model="unit-model").json()["choices"][0]["message"]["content"] == "whole"

    place(daemon, {**script, "canned_stream_chunks": ["one "], "canned_stream_error": "cut"})
    seen = read_stream(daemon, Seen(), model="unit-model")
    assert (seen.text, seen.done) == ("one ", False)
    assert seen.error is not None
    assert seen.error["code"] == "provider_error"


def test_rules_hold_for_them(daemon: Daemon) -> None:
    rule = {
        "id": "private",
        "kind": "route_gate",
        "contains": "secret",
        "action": "restrict_routes",
        "allowed_targets": ["large"],
    }
    place(daemon, TINY, LARGE, governance=[rule])
    assert decided(daemon, "hello")["selected_model"] == "tiny/model"
    assert decided(daemon, "a secret")["selected_model"] == "large/model"


def test_rules_over_answers_hold_for_scripts(daemon: Daemon) -> None:
    script = {"model": "canned/m", "context_window": 1000, "provider_kind": "canned_sequence"}
    chunks = [["Old", "Client(", ") is it"], ["NewClient() is it"]]
    rule = {"id": "old", "action": "retry_with_reminder", "contains": "OldClient(", "reminder": "Use NewClient."}
    place(daemon, {**script, "canned_stream_attempt_chunks": chunks}, stream_rules=[{**rule, "max_retries": 1}])
    assert read_stream(daemon, Seen(), model="unit-model").text == "NewClient() is it"


def test_an_embedded_model_is_routed_through(daemon: Daemon) -> None:
    inner = {"model_id": "policy-safe", "targets": [{"model": "canned/final", "context_window": 8192}]}
    place(daemon, {"model": "safe-writer", "context_window": 4096, "artifact": inner})
    decision = decided(daemon, "hello")
    assert decision["selected_model"] == "canned/final"
    assert "wardwright/policy-safe" in decision["graph_path"]
    assert daemon.chat(model="policy-safe").json()["error"]["code"] == "model_internal"


def test_a_real_upstream_is_asked_as_configured(daemon: Daemon, shared_upstream: Upstream) -> None:
    place(
        daemon,
        {
            "model": "up/ok-n3",
            "context_window": 8192,
            "provider_kind": "openai-compatible",
            "provider_base_url": shared_upstream.url,
        },
    )
    assert daemon.chat(model="unit-model").status_code == 200


def test_no_other_model_notices(daemon: Daemon) -> None:
    with streams(daemon, 10) as seen:
        for window in (8, 16, 32):
            place(daemon, {"model": "tiny/model", "context_window": window})
        place(daemon, TINY, model_id="another")
        names = [entry["id"] for entry in daemon.get("/v1/wardwright/models")["data"]]
        assert names == ["another", "test-model", "unit-model"]
    assert all(one.done for one in seen)
    sources = {entry["id"]: entry["source"] for entry in daemon.get("/admin/wardwright-models")["data"]}
    assert sources == {"another": "test", "test-model": "file", "unit-model": "test"}


def test_all_problems_at_once(daemon: Daemon) -> None:
    refused = place(daemon, TINY, sinks=[{"id": "s"}], colour=1, status=400)
    assert refused["error"]["code"] == "invalid_test_config"
    assert [problem["path"] for problem in refused["wardwright"]["problems"]] == ["sinks", "colour"]

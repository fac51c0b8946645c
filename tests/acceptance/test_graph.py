"""The whole route graph, planned and executed over HTTP: guards, blends, nested models, overflow, refusals of content."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.conftest import gateway_config_of
from tests.acceptance.daemon import Daemon, run_daemon
from tests.support.upstream import Upstream

PLAIN = {"plain": ["ok", "ok-n5"], "seen": ["filtered", "ok"]}
# the targets of the plain models: up/0-ok (8192), up/1-ok-n5 (16384), up/0-filtered, up/1-ok
GRAPHS = """
[[targets]]
id = "up/thinking"
provider = "up"
upstream_model = "ok"
context_window = 8192
history = "private"

[[models]]
id = "guarded"
guards = [{ id = "paid", require = { tenant_id = ["acme"] }, model = "up/1-ok-n5" }]

[[models]]
id = "pinned"
[[models.alloys]]
id = "blend"
strategy = "round_robin"
constituents = [{ model = "up/0-ok" }, { model = "up/thinking" }]

[[models]]
id = "weighted"
[[models.alloys]]
id = "blend"
constituents = [{ model = "up/0-ok", weight = 1 }, { model = "up/1-ok-n5", weight = 1 }]

[[models]]
id = "nesting"
cascades = [{ id = "steps", models = ["gone/always", "wardwright/weighted"] }]

[[models]]
id = "overflowing"
dispatchers = [{ id = "fit", models = ["up/0-ok", "up/1-ok-n5"], on_overflow = "largest" }]

[[models]]
id = "moving-on"
cascades = [{ id = "steps", models = ["up/0-filtered", "up/1-ok"], on_content_filter = "next" }]

[[models]]
id = "failing"
route_root = "away/always"
"""
GONE = """
[[targets]]
id = "{name}/always"
provider = "{name}"
upstream_model = "ok"
context_window = 8192

[[providers]]
id = "{name}"
kind = "openai-compatible"
base_url = "http://127.0.0.1:9/v1"
retry = {{ attempts = 1 }}
breaker = {{ failures = 1, window_s = 60, open_s = 60 }}
"""


@pytest.fixture(scope="module")
def daemon(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    gone = "".join(GONE.format(name=name) for name in ("gone", "away"))  # each fails for one test
    config = gateway_config_of(shared_upstream, PLAIN, extra=gone + GRAPHS)
    with run_daemon(tmp_path_factory.mktemp("daemon"), config) as running:
        yield running


def ask(daemon: Daemon, model: str, *, content: str = "hello", **headers: str) -> tuple[int, dict[str, Any], Any]:
    """The status of the answer, its receipt, and the answer's headers."""
    body = {"model": model, "messages": [{"role": "user", "content": content}]}
    with daemon.client() as client:
        answer = client.post("/v1/chat/completions", json=body, headers=headers)
    return answer.status_code, daemon.receipt(answer.headers["x-wardwright-receipt-id"]), answer.headers


def test_a_guard_lets_its_tenants_pass_and_nobody_else(daemon: Daemon) -> None:
    status, receipt, _ = ask(daemon, "guarded", **{"x-wardwright-tenant-id": "acme"})
    assert (status, receipt["final"]["selected_model"]) == (200, "up/1-ok-n5")

    status, receipt, headers = ask(daemon, "guarded", **{"x-wardwright-tenant-id": "globex"})
    assert (status, receipt["final"]["status"], receipt["final"]["error_code"]) == (
        403,
        "route_blocked",
        "route_blocked",
    )
    assert headers["x-should-retry"] == "false"
    assert receipt["decision"]["skipped"] == [
        {"target": "up/1-ok-n5", "reason": "guard_denied", "context_window": 16384, "detail": "paid: tenant_id"}
    ]


def test_a_blend_with_a_private_history_stays_where_a_session_began(daemon: Daemon) -> None:
    answered = [
        ask(daemon, "pinned", **{"x-wardwright-session-id": session})[1] for session in ("one", "one", "one", "two")
    ]
    assert {receipt["final"]["selected_model"] for receipt in answered[:3]} == {"up/0-ok"}
    assert answered[1]["decision"]["sticky"] == [
        {
            "selector": "blend",
            "targets": ["up/thinking", "up/0-ok"],
            "kept": "up/0-ok",
            "private_history": "up/thinking",
        }
    ]


def test_weighted_draws_vary_per_call_whatever_the_caller_says(daemon: Daemon) -> None:
    same = {"x-wardwright-session-id": "same", "x-client-request-id": "same"}
    receipts = [ask(daemon, "weighted", **same)[1] for _ in range(24)]
    assert {receipt["final"]["selected_model"] for receipt in receipts} == {"up/0-ok", "up/1-ok-n5"}
    seeds = {receipt["decision"]["facts"]["seed"] for receipt in receipts}
    assert len(seeds) == len(receipts)


def test_a_nested_model_stands_in_for_a_provider_that_is_gone(daemon: Daemon) -> None:
    status, first, _ = ask(daemon, "nesting")
    assert (status, [attempt["status"] for attempt in first["attempts"]]) == (200, ["failed", "completed"])
    assert set(first["decision"]["facts"]["versions"]) == {"nesting", "weighted"}

    status, second, _ = ask(daemon, "nesting")
    assert (status, len(second["attempts"])) == (200, 1)
    assert second["decision"]["graph_path"] == ["steps", "wardwright/weighted", "blend"]
    assert [(skip["target"], skip["reason"]) for skip in second["decision"]["skipped"]] == [
        ("gone/always", "breaker_open")
    ]


def test_when_everything_fails_just_now_the_client_is_told_when_to_come_back(daemon: Daemon) -> None:
    ask(daemon, "failing")
    status, receipt, headers = ask(daemon, "failing")
    assert (status, receipt["final"]["error_code"]) == (503, "no_target_available")
    assert 1 <= int(headers["retry-after"]) <= 60
    assert receipt["attempts"] == []


def test_overflow_asks_the_largest_and_says_so(daemon: Daemon) -> None:
    status, receipt, _ = ask(daemon, "overflowing", content="word " * 16_000)
    assert (status, receipt["final"]["selected_model"]) == (200, "up/1-ok-n5")
    assert receipt["decision"]["overflow"] == "fit"
    assert [skip["target"] for skip in receipt["decision"]["skipped"]] == ["up/0-ok"]


def test_without_overflow_nothing_fits_is_the_callers_to_mend(daemon: Daemon) -> None:
    status, receipt, _ = ask(daemon, "weighted", content="word " * 16_000)
    assert (status, receipt["final"]["error_code"]) == (400, "context_length_exceeded")
    assert "8192 tokens" in receipt["final"]["error_message"], "what the constituents share is the largest there is"


def test_a_refusal_of_the_content_moves_on_only_where_a_selector_says_so(daemon: Daemon) -> None:
    status, receipt, _ = ask(daemon, "seen")
    assert (status, receipt["final"]["error_code"], len(receipt["attempts"])) == (400, "content_filter", 1)
    status, receipt, _ = ask(daemon, "moving-on")
    assert (status, receipt["final"]["selected_model"], len(receipt["attempts"])) == (200, "up/1-ok", 2)

"""What was decided, is decided again and would be decided: live, replayed and simulated, over HTTP and by command."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.daemon import Daemon, run_daemon

CONFIG = """
[[providers]]
id = "local"
kind = "canned"
outputs = ["hello"]

[[providers]]
id = "managed"
kind = "canned"
outputs = ["hello"]

[[targets]]
id = "local/small"
provider = "local"
context_window = 64
tags = ["private"]

[[targets]]
id = "local/wide"
provider = "local"
context_window = 256

[[targets]]
id = "managed/kimi"
provider = "managed"
context_window = 4096

[[targets]]
id = "managed/sonnet"
provider = "managed"
context_window = 4096

[[models]]
id = "inner"
access = { unkeyed = "internal" }
cascades = [{ id = "steps", models = ["local/wide", "managed/kimi"] }]

[[models]]
id = "outer"
version = "v1"
route_root = "fit"
dispatchers = [{ id = "fit", models = ["local/small", "paid", "wardwright/inner"] }]
guards = [{ id = "paid", require = { tenant_id = ["acme"] }, model = "blend" }]

[[models.alloys]]
id = "blend"
strategy = "weighted"
constituents = [{ model = "managed/kimi", weight = 1 }, { model = "managed/sonnet", weight = 3 }]

[[models.governance]]
id = "keep-records-local"
kind = "route_gate"
contains = "customer record"
action = "restrict_routes"
allowed_targets = ["local"]
"""

REQUESTS: list[dict[str, Any]] = [
    {"content": "hello"},
    {"content": "x" * 600},
    {"content": "x" * 600, "tenant": "acme"},
    {"content": "x" * 600, "tenant": "acme", "session": "s1"},
    {"content": "x" * 2000, "tenant": "acme", "session": "s1"},
    {"content": "customer record " + "x" * 600, "tenant": "acme"},
    {"content": "customer record " + "x" * 2000},
    {"content": "x" * 40_000},
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with run_daemon(tmp_path_factory.mktemp("daemon"), CONFIG) as running:
        with running.client() as client:
            draft = {
                "version": "next",
                "cascades": [{"id": "steps", "models": ["managed/kimi"]}],
                "governance": [],
            }
            answer = client.post("/admin/wardwright-models/outer/drafts", json=draft)
            assert answer.status_code == 201, answer.text
        yield running


def body_of(request: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The chat body and the headers of a request."""
    names = {"tenant": "x-wardwright-tenant-id", "session": "x-wardwright-session-id"}
    headers = {header: request[name] for name, header in names.items() if name in request}
    return {"model": "outer", "messages": [{"role": "user", "content": request["content"]}]}, headers


def ask(daemon: Daemon, request: dict[str, Any]) -> dict[str, Any]:
    """Make a live request; return its receipt."""
    body, headers = body_of(request)
    with daemon.client() as client:
        answer = client.post("/v1/chat/completions", json=body, headers=headers)
    return daemon.receipt(answer.headers["x-wardwright-receipt-id"])


@pytest.mark.parametrize("request_", REQUESTS, ids=range(len(REQUESTS)))
def test_a_live_decision_is_the_one_that_is_simulated_and_replayed(daemon: Daemon, request_: dict[str, Any]) -> None:
    live = ask(daemon, request_)
    facts = live["decision"]["facts"]

    with daemon.client() as client:
        replayed = client.post(f"/v1/receipts/{live['receipt_id']}/replay").json()
        body, headers = body_of(request_)
        supposed = {name: facts[name] for name in ("session", "seed") if name in facts}
        answer = client.post("/v1/wardwright/simulate", json={"request": body, "facts": supposed}, headers=headers)
    simulated = answer.json()["receipt"]

    assert (replayed["identical"], replayed["differences"]) == (True, [])
    assert replayed["recomputed"] == replayed["recorded"] == live["decision"]
    assert simulated["decision"] == live["decision"]
    assert simulated["simulation"]
    expected = "simulated" if live["final"]["status"] == "completed" else live["final"]["status"]
    assert simulated["final"]["status"] == expected
    assert simulated["receipt_id"] not in {listed["receipt_id"] for listed in daemon.receipts()}


def test_decisions_survive_a_restart_and_are_replayed_from_disk(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("restarted")
    with run_daemon(folder, CONFIG) as before:
        receipts = [ask(before, request) for request in REQUESTS]
    changed = CONFIG.replace("context_window = 256", "context_window = 512")
    with run_daemon(folder, changed) as after, after.client() as client:
        for receipt in receipts:
            found = client.post(f"/v1/receipts/{receipt['receipt_id']}/replay").json()
            assert found["identical"], found["differences"]


def test_old_traffic_is_decided_under_a_draft_by_command(daemon: Daemon) -> None:
    receipts = [ask(daemon, request) for request in REQUESTS]
    changed = [
        receipt["receipt_id"]
        for receipt in receipts
        if receipt["decision"]["selected_model"] not in (None, "managed/kimi")
    ]

    told = command(daemon, "receipts", "replay", "--since", "1d", "--model", "outer", "--version", "next", "--json")
    outcome = json.loads(told.stdout)

    assert told.returncode == 0, told.stderr
    assert outcome["replayed"] >= len(receipts)
    elsewhere = [
        change["receipt_id"]
        for change in outcome["changes"]
        if change["recorded"]["selected_model"] != change["recomputed"]["selected_model"]
    ]
    assert set(changed) <= set(elsewhere)
    lines = command(daemon, "receipts", "replay", "--since", "1d", "--model", "outer", "--version", "next").stdout
    assert "decisions replayed under version next: " in lines.splitlines()[0]

    unchanged = command(daemon, "receipts", "replay", "--since", "1d", "--model", "outer")
    assert unchanged.returncode == 0, unchanged.stdout
    assert unchanged.stdout.endswith(" decisions replayed: nothing changes\n")


def test_a_request_is_simulated_by_command(daemon: Daemon) -> None:
    small = command(daemon, "simulate", "outer", "--json")
    long = command(daemon, "simulate", "outer", "--tokens", "300", "--json")
    longest = command(daemon, "simulate", "outer", "--tokens", "300000")
    draft = command(daemon, "simulate", "outer", "--version", "next", "--json")

    assert json.loads(small.stdout)["decision"]["selected_model"] == "local/small"
    assert json.loads(long.stdout)["decision"]["graph_path"] == ["fit", "wardwright/inner", "steps"]
    assert json.loads(draft.stdout)["decision"]["selected_model"] == "managed/kimi"
    assert longest.returncode == 0
    assert "route_blocked" in longest.stdout
    assert "(context_length_exceeded)" in longest.stdout


def command(daemon: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wardwright.cli.main", *words, "--url", daemon.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=daemon.folder,
        env={**os.environ, "WARDWRIGHT_CONFIG": str(daemon.folder / "wardwright.toml")},
    )

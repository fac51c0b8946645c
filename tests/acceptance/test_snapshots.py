"""A daemon that is stopped, or killed, begins again where it was: who is left alone, what was spent, which turn a session has."""

import time
from pathlib import Path

import pytest

from tests.acceptance.daemon import Daemon, run_daemon
from tests.support.upstream import refusing_url
from tests.support.waiting import wait_until

OPEN_S = 900.0
CONFIGURATION = """
[runtime]
backend = "{backend}"

[storage]
kind = "{kind}"

[[providers]]
id = "down"
kind = "openai-compatible"
base_url = "{down}"
retry = {{ attempts = 1 }}
breaker = {{ failures = 1, window_s = 900, open_s = 900 }}

[[providers]]
id = "demo"
kind = "canned"
outputs = ["one two three four"]

[[targets]]
id = "down/model"
provider = "down"
context_window = 8192

[[targets]]
id = "demo/a"
provider = "demo"
context_window = 8192
price = {{ input = 1000.0, output = 2000.0 }}

[[targets]]
id = "demo/b"
provider = "demo"
context_window = 8192
price = {{ input = 1000.0, output = 2000.0 }}

[[models]]
id = "test-model"
route_root = "in-order"
access = {{ requires_api_key = true }}
[[models.cascades]]
id = "in-order"
models = ["down/model", "blend"]
[[models.alloys]]
id = "blend"
strategy = "round_robin"
constituents = [{{ model = "demo/a" }}, {{ model = "demo/b" }}]
"""


def ask(daemon: Daemon, key: str) -> dict[str, object]:
    """The receipt of one more request of the session."""
    body = {"model": "test-model", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"x-wardwright-session-id": "s", "authorization": f"Bearer {key}"}
    with daemon.client() as client:
        answer = client.post("/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return daemon.receipt(answer.headers["x-wardwright-receipt-id"])


def used(daemon: Daemon) -> object:
    (key,) = daemon.get("/admin/model-api-keys")["data"]
    return key["used"]["usd_today"]


def retry_in_s(daemon: Daemon) -> float:
    """How long the provider that is down is still left alone."""
    down = next(one for one in daemon.get("/admin/providers")["data"] if one["id"] == "down")
    assert down["breaker"]["state"] == "open"
    left: float = down["breaker"]["retry_in_s"]
    return left


def wait_for_snapshot(daemon: Daemon, *, written_after: float) -> None:
    def is_there() -> bool:
        snapshot = daemon.get("/admin/storage")["snapshot"]
        return snapshot is not None and snapshot["written_at"] >= written_after

    wait_until(is_there, "no snapshot is written")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("backend", "kind"), [("asyncio", "file"), ("trio", "sqlite")])
def test_health_budgets_and_sessions_go_on_after_an_orderly_stop_and_after_kill_9(
    tmp_path: Path, backend: str, kind: str
) -> None:
    configuration = CONFIGURATION.format(backend=backend, kind=kind, down=refusing_url())
    with run_daemon(tmp_path, configuration) as daemon:
        with daemon.client() as client:
            made = client.post("/admin/model-api-keys", json={"model": "test-model", "label": "tests"})
        key = made.json()["api_key"]["key"]
        began, day = time.time(), time.time() // 86_400
        costs = [ask(daemon, key)["final"]["cost_usd"] for _ in range(3)]  # type: ignore[index]
        tripped = time.time()
        assert retry_in_s(daemon) <= OPEN_S
        wait_for_snapshot(daemon, written_after=began)
        daemon.process.kill()
        daemon.process.wait()

    for turn in (4, 5):  # after a kill, and after an orderly stop
        with run_daemon(tmp_path, configuration) as daemon:
            asked, left_s, told = time.time(), retry_in_s(daemon), time.time()
            assert OPEN_S - (told - began) - 0.1 <= left_s <= OPEN_S - (asked - tripped) + 0.1
            if day == time.time() // 86_400:
                assert used(daemon) == pytest.approx(sum(costs), abs=1e-9)
            receipt = ask(daemon, key)
            assert receipt["session_turn"] == turn
            assert receipt["final"]["selected_model"] == ("demo/b" if turn % 2 == 0 else "demo/a")  # type: ignore[index]
            skipped = receipt["decision"]["skipped"]  # type: ignore[index]
            assert [(one["target"], one["reason"]) for one in skipped] == [("down/model", "breaker_open")]
            costs.append(receipt["final"]["cost_usd"])  # type: ignore[index]
    assert not [line for line in daemon.log if "snapshot" in line["event"]]

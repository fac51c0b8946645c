"""API keys against a running daemon: they open their model, vouch for callers, are limited exactly, and outlive a restart."""

import threading
from pathlib import Path

import httpx2
import pytest

from tests.acceptance.daemon import Daemon, run_daemon

CONFIGURATION = """
[[providers]]
id = "demo"
kind = "canned"
outputs = ["one two three four"]

[[targets]]
id = "demo/model"
provider = "demo"
context_window = 8192
price = { input = 1000.0, output = 2000.0 }

[[models]]
id = "test-model"
access = { requires_api_key = true }
"""


def make_key(daemon: Daemon, **fields: object) -> str:
    with daemon.client() as client:
        answer = client.post("/admin/model-api-keys", json={"model": "test-model", "label": "tests", **fields})
    assert answer.status_code == 201, answer.text
    key: str = answer.json()["api_key"]["key"]
    return key


def ask(daemon: Daemon, key: str | None, **fields: object) -> httpx2.Response:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    body = {"model": "test-model", "messages": [{"role": "user", "content": "hello"}], **fields}
    with daemon.client() as client:
        return client.post("/v1/chat/completions", json=body, headers=headers)


@pytest.fixture(params=["asyncio", "trio"])
def configuration(request: pytest.FixtureRequest) -> str:
    return f'[runtime]\nbackend = "{request.param}"\n{CONFIGURATION}'


def test_a_key_opens_its_model_until_it_is_revoked_and_outlives_a_restart(tmp_path: Path, configuration: str) -> None:
    with run_daemon(tmp_path, configuration) as daemon:
        key = make_key(daemon, caller={"tenant_id": "acme"})
        assert ask(daemon, None).status_code == 401
        assert ask(daemon, key).status_code == 200
    with run_daemon(tmp_path, configuration) as daemon:
        answer = ask(daemon, key)
        assert answer.status_code == 200
        receipt = daemon.receipt(answer.headers["x-wardwright-receipt-id"])
        assert receipt["caller"]["tenant_id"] == {"value": "acme", "source": "trusted_auth"}
        (listed,) = daemon.get("/admin/model-api-keys")["data"]
        assert receipt["key_id"] == listed["id"]
        with daemon.client() as client:
            assert client.delete(f"/admin/model-api-keys/{listed['id']}").status_code == 200
        refused = ask(daemon, key)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
    assert key not in "".join(path.read_text("latin-1") for path in tmp_path.rglob("*") if path.is_file())


def test_a_limit_is_exact_for_requests_at_the_same_time_and_after_a_restart(tmp_path: Path, configuration: str) -> None:
    statuses: list[int] = []

    def one(daemon: Daemon, key: str, barrier: threading.Barrier) -> None:
        barrier.wait()
        statuses.append(ask(daemon, key).status_code)

    with run_daemon(tmp_path, configuration) as daemon:
        key = make_key(daemon, limits={"requests_per_minute": 5})
        barrier = threading.Barrier(12)
        threads = [threading.Thread(target=one, args=(daemon, key, barrier)) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [200] * 5 + [429] * 7
        assert len(daemon.receipts()) == 5
    with run_daemon(tmp_path, configuration) as daemon:
        refused = ask(daemon, key)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (429, "rate_limit_exceeded")
    assert "5 requests a minute" in error["message"]
    assert 0 < int(refused.headers["retry-after"]) <= 60


def test_what_receipts_say_of_cost_is_what_the_budget_has_left(tmp_path: Path, configuration: str) -> None:
    with run_daemon(tmp_path, configuration) as daemon:
        key = make_key(daemon, limits={"usd_per_day": 0.05})
        first = ask(daemon, key, max_tokens=10)
        assert first.status_code == 200
        receipt = daemon.receipt(first.headers["x-wardwright-receipt-id"])
        usage, cost = receipt["final"]["usage"], receipt["final"]["cost_usd"]
        assert cost == pytest.approx((usage["prompt_tokens"] * 1000 + usage["completion_tokens"] * 2000) / 1e6)
        assert receipt["attempts"][0]["cost_usd"] == cost
        spent = cost
        while (answer := ask(daemon, key, max_tokens=10)).status_code == 200:
            spent += daemon.receipt(answer.headers["x-wardwright-receipt-id"])["final"]["cost_usd"]
        assert answer.status_code == 429
    assert spent <= 0.05 < spent + 0.03

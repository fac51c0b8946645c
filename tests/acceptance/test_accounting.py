"""A thousand requests at once over fifty sessions, while the provider fails at random and actors are killed: the books are exact.

Afterwards no permit is taken, nothing is reserved, the budget is the sum of the receipts, and every request has exactly one.
"""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from itertools import cycle

import anyio
import httpx2
import pytest

from tests.acceptance.conftest import BACKENDS, StartDaemon
from tests.acceptance.daemon import _NO_TLS, Daemon
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

REQUESTS = 1000
SESSIONS = 50
CLIENTS = 25  # a client looks at all of its connections whenever one of them has moved
FAULTS = [*["ok"] * 6, "500", "503", "reset", "close", "cut", "no-finish", "garbage", "error-in-stream"]
VICTIMS = [
    "wardwright/storage",
    "wardwright/catalog",
    "wardwright/providers/one",
    "wardwright/providers/two",
    "wardwright/models/test-model/model",
    "wardwright/models/test-model/sessions",
]

CONFIGURATION = """
[runtime]
backend = "{backend}"

[[providers]]
id = "one"
kind = "openai-compatible"
base_url = "{url}"
max_concurrency = 32
breaker = {{ failures = 1000 }}
retry = {{ base_ms = 1, max_ms = 5 }}

[[providers]]
id = "two"
kind = "openai-compatible"
base_url = "{url}"
max_concurrency = 32
breaker = {{ failures = 1000 }}
retry = {{ base_ms = 1, max_ms = 5 }}

[[targets]]
id = "one/m"
provider = "one"
upstream_model = "ok"
context_window = 8192
price = {{ input = 1.5, output = 6.0 }}

[[targets]]
id = "two/m"
provider = "two"
upstream_model = "ok"
context_window = 8192
price = {{ input = 3.0, output = 15.0 }}

[[models]]
id = "test-model"
access = {{ requires_api_key = true }}
[[models.alloys]]
id = "blend"
strategy = "weighted"
constituents = [{{ model = "one/m", weight = 3 }}, {{ model = "two/m", weight = 1 }}]
"""


async def ask_all(daemon: Daemon, key: str) -> Counter[int]:
    """Make every request at once; count the statuses, a connection that broke as 0."""
    statuses: Counter[int] = Counter()
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)

    def new_client() -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=daemon.url, timeout=240, verify=_NO_TLS, trust_env=False, limits=limits)

    async def ask(client: httpx2.AsyncClient, number: int) -> None:
        body = {
            "model": "test-model",
            "messages": [{"role": "user", "content": "hello"}],
            "max_tokens": 50,
            "stream": number % 2 == 0,
        }
        headers = {"authorization": f"Bearer {key}", "x-wardwright-session-id": f"s{number % SESSIONS}"}
        try:
            answer = await client.post("/v1/chat/completions", json=body, headers=headers)
            statuses[answer.status_code] += 1
        except httpx2.TransportError:
            statuses[0] += 1

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(new_client()) for _ in range(CLIENTS)]
        tasks = await stack.enter_async_context(anyio.create_task_group())
        for number in range(REQUESTS):
            tasks.start_soon(ask, clients[number % CLIENTS], number)
    return statuses


@contextmanager
def killing(daemon: Daemon, draw: random.Random) -> Iterator[None]:
    """Kill actors meanwhile, all in turn."""
    done, victims = threading.Event(), cycle(draw.sample(VICTIMS, len(VICTIMS)))

    def kill() -> None:
        with daemon.client() as client:
            while not done.wait(0.2):  # two of one branch each 1.2 s: at twenty in 10 s it would be right to give up
                answer = client.post(f"/admin/runtime/actors/{next(victims)}/kill")
                assert answer.status_code in (202, 404)  # it may be on its way back from the last time

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(60)


def wait_until_calm(daemon: Daemon) -> None:
    """Wait until the last kill is mended, and the receipt of every request that it cut is closed."""
    with daemon.client() as client:

        def is_calm() -> bool:
            is_ready = client.get("/readyz").status_code == 200
            return is_ready and client.get("/admin/storage").json()["open_count"] == 0

        wait_until(is_calm, "the daemon does not become ready again, or does not close its receipts")


def all_receipts(daemon: Daemon) -> list[str]:
    ids: list[str] = []
    parameters: dict[str, str] = {"limit": "500"}
    while True:
        page = daemon.get("/v1/receipts", **parameters)
        ids += [summary["receipt_id"] for summary in page["data"]]
        if page["next_cursor"] is None:
            return ids
        parameters["cursor"] = page["next_cursor"]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_thousand_requests_amid_faults_and_kills_leave_exact_books(
    upstream: Upstream, start_daemon: StartDaemon, backend: str
) -> None:
    draw, day = random.Random(7), datetime.now(UTC).date()
    upstream.script(*(draw.choice(FAULTS) for _ in range(5 * REQUESTS)))
    daemon = start_daemon(CONFIGURATION.format(backend=backend, url=upstream.url))
    with daemon.client() as client:
        made = client.post(
            "/admin/model-api-keys",
            json={"model": "test-model", "label": "load", "limits": {"usd_per_day": 1000.0}},
        ).json()["api_key"]

    with killing(daemon, draw):
        statuses = anyio.run(ask_all, daemon, made["key"])

    assert statuses.total() == REQUESTS
    assert statuses[0] == 0, statuses
    assert statuses[200] > REQUESTS / 4, statuses

    wait_until_calm(daemon)
    with daemon.client() as client:
        receipts = [client.get(f"/v1/receipts/{receipt_id}").json() for receipt_id in all_receipts(daemon)]
    assert len(receipts) == REQUESTS
    assert all(receipt["final"] is not None for receipt in receipts)
    assert all(receipt["key_id"] == made["id"] for receipt in receipts)

    for provider in daemon.get("/admin/providers")["data"]:
        assert (provider["permits"]["in_use"], provider["permits"]["waiting"]) == (0, 0), provider

    (key,) = daemon.get("/admin/model-api-keys")["data"]
    cost = sum(receipt["final"].get("cost_usd") or 0.0 for receipt in receipts)
    by_attempt = sum(attempt.get("cost_usd") or 0.0 for receipt in receipts for attempt in receipt["attempts"])
    assert key["used"]["live_requests"] == 0
    if datetime.now(UTC).date() == day:  # midnight empties the budgets
        assert key["used"]["usd_today"] == pytest.approx(cost, abs=1e-9)
    assert by_attempt == pytest.approx(cost, abs=1e-9)
    assert sum(len(receipt["attempts"]) for receipt in receipts) == len(upstream.calls)

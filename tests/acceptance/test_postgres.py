"""Daemons that keep their receipts in PostgreSQL: `kill -9` of one beside another that serves, and a server that goes away under load."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.acceptance.conftest import StartDaemon, gateway_config
from tests.acceptance.daemon import Daemon
from tests.support.postgres import PostgresServer
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

SCHEMA = "acceptance"
VARIABLE = "WARDWRIGHT_POSTGRES_URL"
STORAGE = f'[storage]\nkind = "postgres"\nschema = "{SCHEMA}"\n'


@pytest.fixture
def environment(postgres: PostgresServer) -> Iterator[dict[str, str]]:
    yield {VARIABLE: postgres.url()}
    postgres.drop(SCHEMA)


@contextmanager
def begun(daemon: Daemon) -> Iterator[str]:
    """A stream that has begun and would last for a minute; on leaving its client goes away. The id of its receipt."""
    body = {"model": "test-model", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    with daemon.client() as client, client.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200
        lines = answer.iter_lines()
        next(lines)  # as long as there is an iterator, the client is there
        yield answer.headers["x-wardwright-receipt-id"]


def test_a_daemon_that_was_killed_finds_its_receipts_closed_and_its_neighbours_untouched(
    upstream: Upstream, start_daemon: StartDaemon, environment: dict[str, str]
) -> None:
    config = gateway_config(upstream, "ok-n1200-p50", extra=STORAGE)
    first = start_daemon(config, folder="first", environment=environment)
    second = start_daemon(config.replace("asyncio", "trio"), folder="second", environment=environment)

    with begun(second) as going_on:
        with begun(first) as cut:
            wait_until(lambda: second.get("/admin/storage")["open_count"] == 2, "the requests are not accepted")
            first.process.kill()
            first.process.wait()
        third = start_daemon(config, folder="first", environment=environment)
        assert third.receipt(cut)["final"]["status"] == "interrupted"
        assert second.receipt(cut) == third.receipt(cut)
        assert third.receipt(going_on)["final"] is None, "its daemon is alive"

    wait_until(lambda: third.get("/admin/storage")["open_count"] == 0, "receipts of the dead stay open")
    assert third.receipt(going_on)["final"]["status"] == "client_cancelled"
    health = third.get("/admin/storage")
    assert (health["kind"], health["receipt_count"]) == ("postgres", 2)
    assert "concurrent_writers" in health["capabilities"]
    for daemon in (second, third):
        assert daemon.stop() == 0
        assert "postgres@" not in "".join(daemon.raw_log), "nothing that is logged shows who connects"


def test_while_the_server_is_away_requests_are_refused_and_afterwards_served(
    upstream: Upstream, start_daemon: StartDaemon, environment: dict[str, str], postgres: PostgresServer
) -> None:
    daemon = start_daemon(gateway_config(upstream, "ok", extra=STORAGE), environment=environment)
    before = daemon.chat()
    assert before.status_code == 200
    postgres.stop(crash=True)
    try:
        refused = daemon.chat()
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "storage_unavailable"
        assert "wardwright" not in refused.json()["error"]["message"], "neither the schema nor where the database is"
        with daemon.client() as client:
            assert client.get("/readyz").status_code == 503
            assert client.get("/livez").status_code == 200
    finally:
        postgres.start()
    after = daemon.chat()
    assert after.status_code == 200
    kept = {summary["receipt_id"] for summary in daemon.receipts()}
    assert {answer.headers["x-wardwright-receipt-id"] for answer in (before, after)} <= kept
    assert daemon.get("/admin/storage")["open_count"] == 0

"""Kill each actor of the tree while streams run: the service answers, cut clients are told, every request has its receipt."""

import time
from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import StartDaemon, gateway_config
from tests.acceptance.daemon import Daemon, run_daemon
from tests.acceptance.load import Seen, streams
from tests.support.upstream import Upstream

STREAMS = 20
ANSWERS_WITHIN_S = 5.0
BUSY = 20  # so many undisturbed answers' time is added, so that the bound means the same on a machine that is busy elsewhere

# Every member of the tree of this configuration, the runs themselves aside. A crash of these must not cut a single stream.
CUTS_NOTHING = [
    "wardwright/events",
    "wardwright/storage",
    "wardwright/sinks",
    "wardwright/catalog",
    "wardwright/providers",
    "wardwright/providers/up",
    "wardwright/models",
    "wardwright/models/test-model",
    "wardwright/models/test-model/model",
    "wardwright/models/test-model/sessions",
    "wardwright/config",
    "wardwright/edge",
]


@pytest.fixture(scope="module")
def daemon(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory, backend: str) -> Iterator[Daemon]:
    """One daemon for all tests whose kills it must survive."""
    config = gateway_config(shared_upstream, "ok-n15-p60", backend=backend)
    with run_daemon(tmp_path_factory.mktemp("chaos") / "daemon", config) as started:
        yield started


@pytest.fixture
def long(upstream: Upstream, start_daemon: StartDaemon, backend: str) -> Daemon:
    """A daemon whose streams are still there when somebody wants to kill one of them."""
    return start_daemon(gateway_config(upstream, "ok-n50-p60", backend=backend))


def answers_soon(daemon: Daemon, upstream: Upstream) -> None:
    """A fresh request is answered soon: no actor waits for a time to be over."""
    upstream.script("ok")
    disturbed_s = answer_s(daemon)
    upstream.script("ok")
    assert disturbed_s < ANSWERS_WITHIN_S + BUSY * answer_s(daemon)


def answer_s(daemon: Daemon) -> float:
    began = time.monotonic()
    assert daemon.chat().status_code == 200
    return time.monotonic() - began


def every_request_has_its_receipt(daemon: Daemon, seen: list[Seen]) -> None:
    """And nothing of it is left."""
    [provider] = daemon.get("/admin/providers")["data"]
    assert (provider["permits"]["in_use"], provider["permits"]["waiting"], provider["live_attempts"]) == (0, 0, 0)
    for one in seen:
        receipt = daemon.receipt(one.receipt_id)
        assert receipt["final"] is not None, receipt
        assert receipt["final"]["status"] == ("completed" if one.done else "internal_error")


def test_the_list_above_is_the_whole_tree(daemon: Daemon) -> None:
    assert sorted(daemon.actors()) == sorted(["wardwright", "wardwright/runs", *CUTS_NOTHING])


@pytest.mark.parametrize("path", CUTS_NOTHING)
def test_killing_it_cuts_no_stream(daemon: Daemon, shared_upstream: Upstream, path: str) -> None:
    restarts = daemon.actors()[path]["restarts"]
    with streams(daemon, STREAMS) as seen:
        daemon.kill_actor(path)
        answers_soon(daemon, shared_upstream)

    assert all(one.done for one in seen), [one for one in seen if not one.done]
    every_request_has_its_receipt(daemon, seen)
    assert daemon.get("/readyz")["status"] == "ready"
    actor = daemon.actors()[path]
    assert actor["status"] == "running"
    assert actor["last_exit"] == "killed"
    assert actor["restarts"] == restarts + 1


def test_killing_the_edge_costs_a_client_that_keeps_its_connection_nothing(
    daemon: Daemon, shared_upstream: Upstream
) -> None:
    with daemon.client() as client:
        for _ in range(3):
            shared_upstream.script("ok-n3-p60", "ok", "ok")
            body = {"model": "test-model", "messages": [{"role": "user", "content": "hello"}]}
            with client.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as answer:
                lines = answer.iter_lines()
                next(lines)
                daemon.kill_actor("wardwright/edge")
                assert [line for line in lines if line][-1] == "data: [DONE]"
            began = time.monotonic()
            assert client.post("/v1/chat/completions", json=body).status_code == 200
            assert time.monotonic() - began < ANSWERS_WITHIN_S + BUSY * answer_s(daemon)


def test_killing_the_run_supervisor_tells_every_client(long: Daemon, upstream: Upstream) -> None:
    with streams(long, STREAMS) as seen:
        long.kill_actor("wardwright/runs")
        answers_soon(long, upstream)

    assert all(one.is_well_formed for one in seen), [one for one in seen if not one.is_well_formed]
    assert {one.error["code"] for one in seen if one.error} == {"internal_error"}
    every_request_has_its_receipt(long, seen)
    assert upstream.wait_for_hang_ups(STREAMS), "cut requests must not go on costing tokens"


def test_killing_one_run_tells_its_client_and_nobody_else(long: Daemon, upstream: Upstream) -> None:
    with streams(long, STREAMS) as seen:
        long.kill_actor(f"wardwright/runs/{seen[0].receipt_id}")
        answers_soon(long, upstream)

    assert [one.done for one in seen] == [False] + [True] * (STREAMS - 1)
    assert seen[0].error is not None
    every_request_has_its_receipt(long, seen)


def test_killing_everything_in_turn_under_load_loses_no_receipt(daemon: Daemon, shared_upstream: Upstream) -> None:
    with streams(daemon, STREAMS) as seen:
        for path in [*CUTS_NOTHING, "wardwright/runs"]:
            daemon.kill_actor(path)
            answers_soon(daemon, shared_upstream)

    assert all(one.is_well_formed for one in seen)
    every_request_has_its_receipt(daemon, seen)
    assert daemon.get("/readyz")["status"] == "ready"

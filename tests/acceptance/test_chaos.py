"""Kill each actor of the tree while streams run: the service answers, cut clients are told, every request has its receipt.

The streams are held at the provider until the test lets them go, so that they are there for as long as it takes to kill somebody and
to ask. Who is answered meanwhile has not waited for them; that nobody waits for a time to be over is tested where time is virtual, in
`tests/wardwright/runtime/test_run_interrupted.py`.
"""

from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import gateway_config_of
from tests.acceptance.daemon import Daemon, run_daemon
from tests.acceptance.load import Seen, streams
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

STREAMS = 20

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
    """One daemon for all tests, whose kills are fewer than it bears in ten seconds; no clock of its own ends a stream that is held."""
    config = gateway_config_of(shared_upstream, {"test-model": ["held"]}, backend=backend, silence_s=100)
    with run_daemon(tmp_path_factory.mktemp("chaos") / "daemon", config) as started:
        yield started


def answers(daemon: Daemon, upstream: Upstream) -> None:
    """A fresh request is answered."""
    upstream.script("ok")
    assert daemon.chat().status_code == 200


def every_request_has_its_receipt(daemon: Daemon, seen: list[Seen]) -> None:
    """And nothing of it is left."""

    def is_quiet() -> bool:
        [provider] = daemon.get("/admin/providers")["data"]
        permits = provider["permits"]
        return (permits["in_use"], permits["waiting"], provider["live_attempts"]) == (0, 0, 0)

    wait_until(is_quiet, "an attempt has not ended")
    for one in seen:
        receipt = daemon.receipt(one.receipt_id)
        assert receipt["final"] is not None, receipt
        assert receipt["final"]["status"] == ("completed" if one.done else "internal_error")


def test_the_list_above_is_the_whole_tree(daemon: Daemon) -> None:
    assert sorted(daemon.actors()) == sorted(["wardwright", "wardwright/runs", *CUTS_NOTHING])


@pytest.mark.parametrize("path", CUTS_NOTHING)
def test_killing_it_cuts_no_stream(daemon: Daemon, shared_upstream: Upstream, path: str) -> None:
    restarts = daemon.actors()[path]["restarts"]
    with shared_upstream.holding() as let_go, streams(daemon, STREAMS) as seen:
        daemon.kill_actor(path)
        answers(daemon, shared_upstream)
        let_go()

    assert all(one.done for one in seen), [one for one in seen if not one.done]
    every_request_has_its_receipt(daemon, seen)
    assert daemon.get("/readyz")["status"] == "ready"

    def is_back() -> bool:
        actor = daemon.actors()[path]
        return (actor["status"], actor["restarts"]) == ("running", restarts + 1)

    wait_until(is_back, "it has not been restarted")
    assert daemon.actors()[path]["last_exit"] == "killed"


def test_killing_the_edge_costs_a_client_that_keeps_its_connection_nothing(
    daemon: Daemon, shared_upstream: Upstream
) -> None:
    with daemon.client() as client:
        for _ in range(3):
            body = {"model": "test-model", "messages": [{"role": "user", "content": "hello"}]}
            with (
                shared_upstream.holding() as let_go,
                client.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as answer,
            ):
                lines = answer.iter_lines()
                next(lines)
                daemon.kill_actor("wardwright/edge")
                let_go()
                assert [line for line in lines if line][-1] == "data: [DONE]"
            shared_upstream.script("ok")
            assert client.post("/v1/chat/completions", json=body).status_code == 200


def test_killing_the_run_supervisor_tells_every_client(daemon: Daemon, shared_upstream: Upstream) -> None:
    left = shared_upstream.hang_ups
    with shared_upstream.holding(), streams(daemon, STREAMS) as seen:
        daemon.kill_actor("wardwright/runs")
        answers(daemon, shared_upstream)
        assert shared_upstream.wait_for_hang_ups(left + STREAMS), "cut requests must not go on costing tokens"

    assert all(one.is_well_formed for one in seen), [one for one in seen if not one.is_well_formed]
    assert [one.error and one.error["code"] for one in seen] == ["internal_error"] * STREAMS
    every_request_has_its_receipt(daemon, seen)


def test_killing_one_run_tells_its_client_and_nobody_else(daemon: Daemon, shared_upstream: Upstream) -> None:
    left = shared_upstream.hang_ups
    with shared_upstream.holding() as let_go, streams(daemon, STREAMS) as seen:
        daemon.kill_actor(f"wardwright/runs/{seen[0].receipt_id}")
        answers(daemon, shared_upstream)
        assert shared_upstream.wait_for_hang_ups(left + 1), "a cut request must not go on costing tokens"
        let_go()

    assert [one.done for one in seen] == [False] + [True] * (STREAMS - 1)
    assert seen[0].error is not None
    every_request_has_its_receipt(daemon, seen)


def test_killing_everything_in_turn_under_load_loses_no_receipt(daemon: Daemon, shared_upstream: Upstream) -> None:
    with shared_upstream.holding() as let_go, streams(daemon, STREAMS) as seen:
        for path in [*CUTS_NOTHING, "wardwright/runs"]:
            daemon.kill_actor(path)
            answers(daemon, shared_upstream)
        let_go()

    assert all(one.is_well_formed for one in seen)
    every_request_has_its_receipt(daemon, seen)
    assert daemon.get("/readyz")["status"] == "ready"

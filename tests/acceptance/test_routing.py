"""The plan is executed: what a client sees when targets fail, and what the receipt says of it."""

from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import gateway_config_of
from tests.acceptance.daemon import Daemon, run_daemon
from tests.support.upstream import Upstream, answer_text

FALLS_OVER = ["reset", "503", "500", "garbage", "html", "context-exceeded", "close", "cut"]
BREAKS_AFTER_RELEASE = ["no-finish", "cut", "stall", "bad-utf8", "error-in-stream"]
MODELS = {
    **{f"first-{behaviour}": [behaviour, "ok"] for behaviour in {*FALLS_OVER, *BREAKS_AFTER_RELEASE, "hang", "422"}},
    "first-500-once": ["500-once", "ok"],
    "only-hang": ["hang"],
    "two-windows": ["ok", "ok-n5"],
}


@pytest.fixture(scope="module")
def daemon(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with run_daemon(
        tmp_path_factory.mktemp("daemon"), gateway_config_of(shared_upstream, MODELS, silence_s=2)
    ) as running:
        yield running


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Upstream:
    shared_upstream.calls.clear()
    return shared_upstream


@pytest.mark.parametrize(
    ("behaviour", "stream"),
    # a silent unary call is bounded by its total time alone; a stream that is cut or turns to garbage has begun before
    [(name, False) for name in FALLS_OVER]
    + [(name, True) for name in [*FALLS_OVER, "hang"] if name not in {"cut", "garbage"}],
)
def test_the_next_target_answers_unseen_by_the_client(
    daemon: Daemon, upstream: Upstream, behaviour: str, stream: bool
) -> None:
    answer = daemon.chat(model=f"first-{behaviour}", stream=stream)

    assert answer.status_code == 200, answer.text
    assert answer_text().split()[0] in answer.text
    assert answer.headers["x-wardwright-selected-model"] == "up/1-ok"
    receipt = daemon.receipt(answer.headers["x-wardwright-receipt-id"])
    assert receipt["final"]["status"] == "completed"
    assert receipt["attempts"][-1]["model"] == "up/1-ok"
    assert receipt["attempts"][0]["failure"]["failure_class"]
    assert len(receipt["attempts"]) == len(upstream.calls) == int(answer.headers["x-wardwright-attempts"])


@pytest.mark.parametrize("behaviour", BREAKS_AFTER_RELEASE)
def test_after_release_a_broken_stream_ends_in_one_error_event_and_no_done(
    daemon: Daemon, upstream: Upstream, behaviour: str
) -> None:
    answer = daemon.chat(model=f"first-{behaviour}", stream=True)

    assert answer.status_code == 200
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert '"error"' in events[-1]
    assert '"receipt_id"' in events[-1]
    assert "[DONE]" not in answer.text
    assert len(upstream.calls) == 1, "what was released cannot be taken back, so nobody else is asked"
    receipt = daemon.receipt(answer.headers["x-wardwright-receipt-id"])
    assert receipt["final"]["status"] == "provider_error"
    assert receipt["final"]["released_bytes"] > 0


def test_a_single_500_is_retried_on_the_same_target(daemon: Daemon) -> None:
    answer = daemon.chat(model="first-500-once")

    assert answer.headers["x-wardwright-selected-model"] == "up/0-500-once"
    assert answer.headers["x-wardwright-attempts"] == "2"


def test_what_the_caller_caused_is_passed_on_in_the_providers_words_and_not_retried(
    daemon: Daemon, upstream: Upstream
) -> None:
    answer = daemon.chat(model="first-422")

    assert answer.status_code == 400
    assert len(upstream.calls) == 1
    assert answer.headers["x-should-retry"] == "false"


def test_a_request_that_asks_for_much_goes_to_the_wider_window(daemon: Daemon) -> None:
    answer = daemon.chat(model="two-windows", max_tokens=9000)

    assert answer.headers["x-wardwright-selected-model"] == "up/1-ok-n5"
    receipt = daemon.receipt(answer.headers["x-wardwright-receipt-id"])
    [skipped] = receipt["decision"]["skipped"]
    assert skipped["target"] == "up/0-ok"
    assert skipped["reason"] == "context_window_too_small"


def test_a_silent_provider_never_keeps_the_client_past_its_clock(daemon: Daemon, upstream: Upstream) -> None:
    left_before = upstream.hang_ups

    answer = daemon.chat(model="only-hang", stream=True)

    assert answer.status_code == 502
    assert "first token" in answer.json()["error"]["message"]
    assert upstream.wait_for_hang_ups(left_before + 1)

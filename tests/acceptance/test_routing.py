"""The plan is executed: what a client sees when targets fail, and what the receipt says of it."""

import pytest

from tests.acceptance.conftest import StartDaemon, gateway_config
from tests.support.upstream import Upstream, answer_text

FALLS_OVER = ["reset", "503", "500", "429", "hang", "garbage", "html", "refused-key", "context-exceeded", "close"]


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("behaviour", FALLS_OVER)
def test_the_next_target_answers_unseen_by_the_client(
    upstream: Upstream, start_daemon: StartDaemon, behaviour: str, stream: bool
) -> None:
    if behaviour == "hang" and not stream:
        behaviour = "cut"  # a silent unary call is bounded by its total time alone
    daemon = start_daemon(gateway_config(upstream, behaviour, "ok"))

    answer = daemon.chat(stream=stream)

    assert answer.status_code == 200, answer.text
    assert answer_text().split()[0] in answer.text
    assert answer.headers["x-wardwright-selected-model"] == "up/1-ok"
    receipt = daemon.receipt(answer.headers["x-wardwright-receipt-id"])
    assert receipt["final"]["status"] == "completed"
    assert receipt["attempts"][-1]["model"] == "up/1-ok"
    assert receipt["attempts"][0]["failure"]["failure_class"]
    assert len(receipt["attempts"]) == len(upstream.calls) == int(answer.headers["x-wardwright-attempts"])


@pytest.mark.parametrize("behaviour", ["no-finish", "cut", "stall", "bad-utf8", "error-in-stream"])
def test_after_release_a_broken_stream_ends_in_one_error_event_and_no_done(
    upstream: Upstream, start_daemon: StartDaemon, behaviour: str
) -> None:
    daemon = start_daemon(gateway_config(upstream, behaviour, "ok"))

    answer = daemon.chat(stream=True)

    assert answer.status_code == 200
    events = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert '"error"' in events[-1]
    assert '"receipt_id"' in events[-1]
    assert "[DONE]" not in answer.text
    assert len(upstream.calls) == 1, "what was released cannot be taken back, so nobody else is asked"
    receipt = daemon.receipt(answer.headers["x-wardwright-receipt-id"])
    assert receipt["final"]["status"] == "provider_error"
    assert receipt["final"]["released_bytes"] > 0


def test_a_single_500_is_retried_on_the_same_target(upstream: Upstream, start_daemon: StartDaemon) -> None:
    daemon = start_daemon(gateway_config(upstream, "500-once", "ok"))

    answer = daemon.chat()

    assert answer.headers["x-wardwright-selected-model"] == "up/0-500-once"
    assert answer.headers["x-wardwright-attempts"] == "2"


def test_what_the_caller_caused_is_passed_on_in_the_providers_words_and_not_retried(
    upstream: Upstream, start_daemon: StartDaemon
) -> None:
    daemon = start_daemon(gateway_config(upstream, "422", "ok"))

    answer = daemon.chat()

    assert answer.status_code == 400
    assert len(upstream.calls) == 1
    assert answer.headers["x-should-retry"] == "false"


def test_a_request_that_asks_for_much_goes_to_the_wider_window(upstream: Upstream, start_daemon: StartDaemon) -> None:
    daemon = start_daemon(gateway_config(upstream, "ok", "ok-n5"))

    answer = daemon.chat(max_tokens=9000)

    assert answer.headers["x-wardwright-selected-model"] == "up/1-ok-n5"
    receipt = daemon.receipt(answer.headers["x-wardwright-receipt-id"])
    [skipped] = receipt["decision"]["skipped"]
    assert skipped["target"] == "up/0-ok"
    assert skipped["reason"] == "context_window_too_small"


def test_a_silent_provider_never_keeps_the_client_past_its_clock(upstream: Upstream, start_daemon: StartDaemon) -> None:
    daemon = start_daemon(gateway_config(upstream, "hang"))

    answer = daemon.chat(stream=True)

    assert answer.status_code == 502
    assert "first token" in answer.json()["error"]["message"]
    assert upstream.wait_for_hang_ups(1)

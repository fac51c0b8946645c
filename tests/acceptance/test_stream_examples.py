"""The worked examples of the original's stream policy, each placed as a model for tests and called: one test, one example.

The rules are in the original's words. Inputs, what is released in all, final statuses and offsets are the original's. What this
gateway decides otherwise is said where it shows:

- It holds only what may still become part of a match, and no fixed window, so more has left before a match.
- A rule with a longest match needs no horizon, and one that is stated too short loses nothing.
- A match ends where it is first complete.
- A refusal of policy is 422 whatever the reason, and a stream that ends in an error has no `[DONE]`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.acceptance.conftest import gateway_config
from tests.acceptance.daemon import Daemon, run_daemon
from tests.acceptance.seen import Seen, seen_of
from tests.support.upstream import Upstream

OLD = "OldClient("
BLOCK = {"id": "r", "action": "block", "pattern": OLD, "holdback_bytes": 10}
REWRITE = {"id": "r", "action": "rewrite_chunk", "contains": OLD, "replacement": "NewClient("}
RETRY = {"id": "r", "action": "retry_with_reminder", "contains": OLD, "reminder": "Use NewClient.", "max_retries": 1}
WRONG, RIGHT = ["use OldClient(", "arg) now"], ["use NewClient(", "arg) now"]

Rule = dict[str, Any]


@pytest.fixture(scope="module")
def daemon(shared_upstream: Upstream, backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    config = gateway_config(shared_upstream, "ok", backend=backend)
    folder = tmp_path_factory.mktemp("examples")
    with run_daemon(folder, config, environment={"WARDWRIGHT_ALLOW_TEST_CONFIG": "1"}) as running:
        yield running


def target(*attempts: Sequence[str], model: str = "tiny/model", window: int = 1000, **keys: Any) -> dict[str, Any]:
    """A target that says these pieces, a list for each call."""
    script = {"provider_kind": "canned_sequence", "canned_stream_attempt_chunks": attempts}
    return {"model": model, "context_window": window, **script, **keys}


def call(daemon: Daemon, rules: Rule | list[Rule], *targets: dict[str, Any], **keys: Any) -> Seen:
    """Place a model with these rules and targets, and ask it for a stream."""
    stream_rules = rules if isinstance(rules, list) else [rules]
    artifact = {"model_id": "unit-model", "targets": targets, "stream_rules": stream_rules, **keys}
    with daemon.client() as client:
        placed = client.post("/__test/config", json=artifact)
        assert placed.status_code == 200, placed.text
    messages = [{"role": "user", "content": "hi"}]
    return seen_of(daemon, daemon.chat(model="unit-model", messages=messages, stream=True))


def said(daemon: Daemon, rules: Rule | list[Rule], *pieces: str) -> Seen:
    """What comes of one answer in these pieces."""
    return call(daemon, rules, target(pieces))


def code_of(seen: Seen) -> str | None:
    return None if seen.error is None else str(seen.error["code"])


def event_types(seen: Seen) -> list[str]:
    return [event["type"] for event in seen.policy["events"]]


class TestChunks:
    def test_a(self, daemon: Daemon) -> None:
        seen = said(daemon, BLOCK, "alpha ", "beta ", "gamma")
        assert (seen.status, seen.pieces, seen.is_done) == (200, ["alpha ", "beta ", "gamma"], True)
        assert (seen.policy["generated_bytes"], seen.policy["released_bytes"], seen.policy["held_bytes"]) == (16, 16, 0)
        assert seen.receipt["final"]["status"] == "completed"

    def test_b(self, daemon: Daemon) -> None:
        seen = said(daemon, {**BLOCK, "pattern": "missing", "holdback_bytes": 3}, "ééé", "abc")
        assert (seen.pieces, seen.policy["released_bytes"]) == (["ééé", "abc"], 9)

    def test_c(self, daemon: Daemon) -> None:
        seen = said(daemon, {**REWRITE, "horizon_bytes": 10}, "abc ", OLD, " done")
        assert (seen.text, seen.is_done, seen.policy["rewritten_bytes"]) == ("abc NewClient( done", True, 10)
        assert seen.offsets == [(1, "chunk", "literal", 4, 14)]
        assert seen.receipt["final"]["status"] == "completed"

    def test_d(self, daemon: Daemon) -> None:
        rule = {"id": "r", "action": "drop_chunk", "contains": "DROP", "horizon_bytes": 5}
        seen = said(daemon, rule, "keep ", "DROP", " done")
        assert seen.text == "keep  done"
        assert (seen.policy["generated_bytes"], seen.policy["released_bytes"]) == (14, 10)

    def test_e(self, daemon: Daemon) -> None:
        seen = said(daemon, BLOCK, "safe prefix that can release ", "Old", "Client(arg)")
        assert (seen.status, seen.text, seen.is_done) == (200, "safe prefix that can release ", False)
        assert code_of(seen) == "stream_policy_blocked"
        assert seen.offsets == [(2, "stream_window", "literal", 29, 39)]
        # the original has let go of 22 bytes by then, and withholds 21
        assert (seen.policy["released_bytes"], seen.policy["held_bytes"], seen.policy["blocked_bytes"]) == (29, 14, 14)
        assert seen.receipt["final"]["status"] == "stream_policy_blocked"

    @pytest.mark.parametrize(
        ("rule", "kind"),
        [
            (BLOCK, "literal"),
            ({"id": "r", "action": "block_final", "regex": r"OldClient\(", "horizon_bytes": 10}, "regex"),
        ],
        ids=["literal", "regex"],
    )
    def test_f(self, daemon: Daemon, rule: Rule, kind: str) -> None:
        seen = said(daemon, rule, "abc Old", "Client(")
        assert seen.offsets == [(1, "stream_window", kind, 4, 14)]
        assert (seen.text, code_of(seen)) == ("abc ", "stream_policy_blocked")

    def test_g(self, daemon: Daemon) -> None:
        longer = {"id": "one", "action": "rewrite", "contains": "ABC", "replacement": "LONGER-REPLACEMENT"}
        tail = {"id": "two", "action": "block", "contains": "REPLACEMENTTAIL"}
        seen = said(daemon, [longer, tail], "ABC", "TAIL")
        assert [offsets[3:] for offsets in seen.offsets] == [(0, 3), (7, 22)]
        assert (seen.offsets[0][1], seen.offsets[1][1]) == ("chunk", "stream_window")
        assert seen.receipt["final"]["status"] == "stream_policy_blocked"

    def test_h(self, daemon: Daemon) -> None:
        seen = said(daemon, REWRITE, "call Old", "Client(arg) now")
        assert (seen.text, seen.is_done) == ("call NewClient(arg) now", True)
        assert seen.offsets == [(1, "stream_window", "literal", 5, 15)]
        assert (seen.policy["generated_bytes"], seen.policy["released_bytes"]) == (23, 23)
        assert seen.policy["rewritten_bytes"] == 10  # of the match; the original counts its whole window

    def test_i(self, daemon: Daemon) -> None:
        seen = said(daemon, REWRITE, *WRONG)
        assert (seen.text, seen.offsets) == ("use NewClient(arg) now", [(0, "chunk", "literal", 4, 14)])

    def test_j(self, daemon: Daemon) -> None:
        seen = said(
            daemon, {"id": "r", "action": "block", "regex": "secret-[0-9]+"}, "safe prefix sec", "ret-123 suffix"
        )
        assert (seen.status, code_of(seen), seen.pieces) == (422, "stream_policy_blocked", [])
        assert (seen.policy["trigger_count"], seen.policy["released_bytes"]) == (1, 0)
        assert seen.offsets == [
            (1, "stream_window", "regex", 12, 20)
        ]  # at the first digit; the original takes all three

    def test_j_with_the_match_in_one_piece(self, daemon: Daemon) -> None:
        seen = said(daemon, {"id": "r", "action": "block", "regex": "secret-[0-9]+"}, "safe prefix ", "secret-123")
        assert seen.status == 422
        assert seen.policy["held_bytes"] > 0
        assert seen.headers["x-wardwright-selected-model"] == "tiny/model"

    def test_k(self, daemon: Daemon) -> None:
        # "held" of the original is held here only if it may become a match
        seen = call(daemon, {**BLOCK, "max_hold_ms": 5}, target(["Old", " later"], canned_delay_ms=100))
        assert (seen.status, code_of(seen)) == (422, "stream_policy_hold_exceeded")
        [exceeded] = seen.policy["events"]
        assert exceeded["type"] == "stream_policy.hold_exceeded"
        assert exceeded["observed_hold_ms"] >= 5
        assert seen.receipt["final"]["status"] == "stream_policy_hold_exceeded"

    def test_l(self, daemon: Daemon) -> None:
        seen = said(daemon, {**REWRITE, "horizon_bytes": 10}, "abc Old", "Client(x)", " end")
        assert (seen.pieces, seen.is_done) == (["abc ", "NewClient(x)", " end"], True)

    def test_m(self, daemon: Daemon) -> None:
        # with its three bytes the original lets "xxOldClie" go before it could know
        seen = said(daemon, {**BLOCK, "holdback_bytes": 3}, "xxOldClie", "nt(")
        assert (seen.text, code_of(seen)) == ("xx", "stream_policy_blocked")


class TestAskingAgain:
    def test_a_reminder_brings_a_better_answer(self, daemon: Daemon) -> None:
        seen = call(daemon, RETRY, target(WRONG, RIGHT))
        assert (seen.status, seen.text, seen.is_done) == (200, "use NewClient(arg) now", True)
        assert seen.policy["retry_count"] == 1
        assert event_types(seen) == ["stream_policy.triggered", "attempt.retry_requested"]
        requested = seen.policy["events"][-1]
        assert (requested["rule_id"], requested["max_retries"], requested["reminder_injected"]) == ("r", 1, True)
        attempts = seen.receipt["attempts"]
        assert [attempt["status"] for attempt in attempts] == ["stopped", "completed"]
        assert [attempt["released_bytes"] for attempt in attempts] == [0, 22]

    def test_a_second_violation_is_one_too_many(self, daemon: Daemon) -> None:
        seen = call(daemon, RETRY, target(WRONG, WRONG))
        assert (seen.status, code_of(seen), seen.pieces) == (422, "stream_policy_retries_exhausted", [])
        assert (seen.policy["retry_count"], seen.policy["released_bytes"]) == (1, 0)

    def test_without_a_budget_nobody_is_asked(self, daemon: Daemon) -> None:
        seen = call(daemon, {**RETRY, "max_retries": 0}, target(WRONG, RIGHT))
        assert (seen.status, seen.policy["retry_count"], len(seen.receipt["attempts"])) == (422, 0, 1)
        refused = seen.policy["events"][-1]
        assert (refused["reason"], refused["max_retries"]) == ("retries_spent", 0)

    def test_the_budget_of_another_rule_does_not_matter(self, daemon: Daemon) -> None:
        other = {"id": "other", "action": "retry", "contains": "elsewhere", "max_retries": 5}
        seen = call(daemon, [other, {**RETRY, "max_retries": 0}], target(WRONG, RIGHT))
        assert (seen.status, seen.policy["retry_count"]) == (422, 0)

    @pytest.mark.parametrize(
        "rule", [{**RETRY, "reminder": "  "}, {"id": "r", "action": "retry", "contains": OLD}], ids=["blank", "none"]
    )
    def test_without_a_reminder_the_request_is_repeated_as_it_is(self, daemon: Daemon, rule: Rule) -> None:
        seen = call(daemon, rule, target(WRONG, RIGHT))
        assert seen.text == "use NewClient(arg) now"
        assert seen.policy["events"][-1]["type"] == "attempt.retry_requested"
        assert "reminder_injected" not in seen.policy["events"][-1]

    def test_a_reminder_that_fits_nowhere_is_a_refusal(self, daemon: Daemon) -> None:
        seen = call(daemon, {**RETRY, "reminder": "please " * 40}, target(WRONG, RIGHT, window=8))
        assert (seen.status, seen.policy["retry_count"]) == (422, 0)
        assert seen.policy["events"][-1]["reason"] == "nothing_fits"

    def test_a_reminder_that_fits_elsewhere_goes_there(self, daemon: Daemon) -> None:
        reminder = "Use the new client now. " * 4
        targets = [target(WRONG, model="tiny/model", window=8), target(RIGHT, model="large/model", window=256)]
        seen = call(daemon, {**RETRY, "reminder": reminder}, *targets)
        assert (seen.status, seen.text) == (200, "use NewClient(arg) now")
        assert seen.headers["x-wardwright-selected-model"] == "large/model"
        requested = seen.policy["events"][-1]
        assert (requested["from_model"], requested["to_model"]) == ("tiny/model", "large/model")

    def test_nothing_is_asked_again_once_text_has_left(self, daemon: Daemon) -> None:
        seen = call(daemon, RETRY, target(["use ", OLD], RIGHT))
        assert (seen.status, seen.text, seen.is_done) == (200, "use ", False)
        assert code_of(seen) == "stream_policy_retries_exhausted"
        refused = seen.policy["events"][-1]
        assert (refused["type"], refused["reason"]) == ("attempt.retry_refused", "already_released")
        assert (seen.policy["retry_count"], len(seen.receipt["attempts"])) == (0, 1)


class TestProviders:
    @pytest.mark.parametrize(("pieces", "text", "status"), [([], "", 502), (["one "], "one ", 200)])
    def test_one_that_breaks_is_an_error_with_a_status_or_in_the_stream(
        self, daemon: Daemon, pieces: list[str], text: str, status: int
    ) -> None:
        seen = call(daemon, BLOCK, target(pieces, pieces, pieces, pieces, canned_stream_error="cut"))
        assert (seen.status, seen.text, seen.is_done, code_of(seen)) == (status, text, False, "provider_error")
        assert seen.receipt["final"]["status"] == "provider_error"

    def test_one_that_is_silent_for_too_long_is_an_error_before_any_byte(self, daemon: Daemon) -> None:
        seen = call(daemon, BLOCK, target(["too late"], canned_delay_ms=5000, provider_timeout_ms=50))
        assert (seen.status, seen.pieces) == (504, [])
        [attempt] = seen.receipt["attempts"]
        assert (attempt["status"], attempt["failure"]["failure_class"]) == ("failed", "timeout")

    def test_one_that_is_stopped_is_left_at_once(self, daemon: Daemon) -> None:
        # a minute of pieces would follow
        seen = call(daemon, BLOCK, target([OLD, *["more"] * 60], canned_delay_ms=1000))
        assert seen.status == 422
        [attempt] = seen.receipt["attempts"]
        assert attempt["status"] == "stopped"

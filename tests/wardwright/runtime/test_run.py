"""A run from its plan to its closed receipt: the order of its work, its failures, and what the receipt says of each."""

from functools import partial

import anyio
import pytest
from anyio.lowlevel import checkpoint

from supervisors import CrashReport, terminate_child
from supervisors.testing import settle
from tests.wardwright.runtime.conftest import Logs
from tests.wardwright.runtime.providers import BROKEN, REFUSED, Hanging, Watched, failing
from tests.wardwright.runtime.responders import RecordingResponder
from tests.wardwright.runtime.stage import InlineThreads, ScriptedStore, Stage, cascade, event_names, stage
from wardwright.config.settings import Timeouts
from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.errors import (
    ActorRestarting,
    DeadlineExceeded,
    Failure,
    InternalError,
    NoTargetAvailable,
    ProviderError,
    RequestError,
    StorageUnavailable,
)
from wardwright.planner.attempts import RetryPolicy
from wardwright.ports.provider import UpstreamCall
from wardwright.providers.canned import ScriptedFailure
from wardwright.receipts.events import AttemptFinished, Opened, PassedOver
from wardwright.receipts.fold import fold
from wardwright.runtime.tree import ROOT, RUNS, STORAGE

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

CLOSED_IN_ONE = ["receipt.opened", "attempt.started", "attempt.finished", "receipt.closed"]
LIMITED = Failure("rate_limited", "slow down", status=429)


def attempts(on: Stage, responder: RecordingResponder) -> list[tuple[str, str, str | None]]:
    """The attempts a receipt records: target, status, and why it failed."""
    return [
        (event.model, event.status, event.failure.failure_class if event.failure else None)
        for event in on.store.events(responder.receipt_id)
        if isinstance(event, AttemptFinished)
    ]


class TestAnAnswer:
    async def test_a_stream_is_released_word_by_word_and_recorded(self) -> None:
        async with stage(Watched(chunk_delay_s=1.0)) as on:
            responder = RecordingResponder()
            await on.ask(responder)

            assert responder.text == "one two three"
            assert len(responder.batches) == 4, "each word as it came, and the tail"
            assert responder.is_finished
            assert event_names(on.store.events(responder.receipt_id)) == CLOSED_IN_ONE
            closed = on.store.closing(responder.receipt_id)
            assert (closed.status, closed.attempts, closed.selected_model) == ("completed", 1, "first/m")
            assert (closed.released, closed.released_bytes) == (True, len("one two three"))
            assert (closed.error_code, closed.error_message) == (None, None)
            assert closed.latency_ms == pytest.approx(5000)

    async def test_a_whole_answer_is_recorded_the_same_way(self) -> None:
        async with stage(Watched(chunk_delay_s=1.0)) as on:
            responder = RecordingResponder()
            await on.ask(responder, stream=False)

            assert responder.completion is not None
            assert event_names(on.store.events(responder.receipt_id)) == CLOSED_IN_ONE
            closed = on.store.closing(responder.receipt_id)
            assert (closed.status, closed.selected_model, closed.released) == ("completed", "first/m", True)
            assert closed.released_bytes == len("one two three")
            [finished] = [e for e in on.store.events(responder.receipt_id) if isinstance(e, AttemptFinished)]
            assert finished.latency_ms == finished.first_token_ms == pytest.approx(1000)
            assert (finished.finish_reasons, finished.generated_bytes) == (("stop",), len("one two three"))
            assert finished.usage is not None

    async def test_the_opening_says_who_asked_and_what_was_decided(self) -> None:
        caller = Caller(tenant_id=Attributed("acme", "header"), session_id=Attributed("s1", "header"))
        async with stage(Watched("first"), Watched("second")) as on:
            responder = RecordingResponder()
            await on.ask(responder, caller=caller)
            opened = on.store.events(responder.receipt_id)[0]

        assert isinstance(opened, Opened)
        assert (opened.model_id, opened.model_version, opened.session_turn) == ("test-model", "v1", 1)
        assert opened.caller == caller
        assert opened.request.request_id == "req_1"
        assert opened.decision.selected_model == "first/m"
        assert opened.decision.fallback_models == ("second/m",)

    async def test_the_upstream_is_asked_for_its_own_model_under_our_request_id(self) -> None:
        provider = Watched()
        async with stage(provider) as on:
            await on.ask(RecordingResponder())
        [call] = provider.calls
        assert (call.target.upstream_model, call.request_id) == ("first-upstream", "req_1")

    async def test_the_outcome_is_counted_by_model_provider_and_metrics(self) -> None:
        async with stage(failing("first", REFUSED, times=1), Watched("second")) as on:
            await on.ask(RecordingResponder())
            await settle()

            assert on.details(f"{ROOT}/models/test-model/model")["requests_by_status"] == {"completed": 1}
            assert on.details(f"{ROOT}/models/test-model/model")["answers_by_target"] == {"second/m": 1}
            assert on.details(f"{ROOT}/providers/first")["error_count"] == 1
            assert on.details(f"{ROOT}/providers/second")["completed_count"] == 1
            value = on.metrics.registry.get_sample_value
            assert value("wardwright_requests_total", {"model": "test-model", "status": "completed"}) == 1
            assert value("wardwright_attempts_total", {"provider": "first", "outcome": "connect"}) == 1
            assert value("wardwright_attempts_total", {"provider": "second", "outcome": "completed"}) == 1
            assert value("wardwright_time_to_first_token_seconds_count", {"provider": "second"}) == 1
            assert value("wardwright_tokens_total", {"model": "test-model", "type": "output"}) == 4
            assert value("wardwright_request_duration_seconds_count", {"model": "test-model"}) == 1
            assert value("wardwright_live_runs") == 0


class TestDurability:
    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
    async def test_the_decision_and_each_attempt_are_on_disk_before_the_provider_is_called(self, stream: bool) -> None:
        seen: list[list[str]] = []

        def look(call: UpstreamCall) -> None:
            seen.append(event_names(on.store.events(responder.receipt_id)))

        failure = [ScriptedFailure(REFUSED)]
        async with stage(Watched("first", failures=failure, on_call=look), Watched("second", on_call=look)) as on:
            responder = RecordingResponder()
            await on.ask(responder, stream=stream)

        assert seen == [
            ["receipt.opened", "attempt.started"],
            ["receipt.opened", "attempt.started", "attempt.finished", "attempt.started"],
        ]

    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
    async def test_the_receipt_is_closed_on_disk_before_the_answer_ends(self, stream: bool) -> None:
        seen: list[tuple[str, str]] = []

        async def look(what: str) -> None:
            seen.append((what, event_names(on.store.events(responder.receipt_id))[-1]))

        async with stage(Watched()) as on:
            responder = RecordingResponder(look)
            await on.ask(responder, stream=stream)

        begun = [("release", "attempt.started")] * 3 if stream else []
        assert seen == [*begun, ("finish" if stream else "answer", "receipt.closed")]

    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
    async def test_without_storage_nobody_is_asked_and_nothing_answered(self, stream: bool) -> None:
        provider = Watched()
        async with stage(provider) as on:
            on.store.fail_always()
            responder = RecordingResponder()
            error = await on.ask_for_error(responder, stream=stream)

        assert isinstance(error, StorageUnavailable)
        assert provider.calls == []
        assert (responder.batches, responder.is_finished) == ([], False)

    async def test_storage_that_fails_once_at_the_opening_still_gets_the_whole_receipt(self) -> None:
        provider = Watched()
        async with stage(provider) as on:
            on.store.fail_at(1)
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)

            assert isinstance(error, StorageUnavailable)
            assert provider.calls == []
            closed = on.store.closing(responder.receipt_id)
            assert (closed.status, closed.error_code) == ("internal_error", "storage_unavailable")

    @pytest.mark.parametrize("heals", [True, False])
    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
    async def test_an_answer_whose_receipt_cannot_be_closed_is_not_finished(self, stream: bool, heals: bool) -> None:
        store = ScriptedStore()
        async with stage(Watched(), store=store) as on:
            store.fail_at(2) if heals else store.fail_at(*range(2, 100))
            responder = RecordingResponder()
            error = await on.ask_for_error(responder, stream=stream)

            assert isinstance(error, StorageUnavailable)
            assert not responder.is_finished
            assert responder.text == ("one two three" if stream else "")
            assert event_names(store.events(responder.receipt_id)) == (CLOSED_IN_ONE if heals else CLOSED_IN_ONE[:2])
            assert on.live_runs() == []

    async def test_storage_that_fails_between_two_attempts_ends_the_request(self) -> None:
        second = Watched("second")
        async with stage(failing("first", REFUSED), second) as on:
            on.store.fail_at(2)
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)

            assert isinstance(error, StorageUnavailable)
            assert second.calls == []
            assert on.store.closing(responder.receipt_id).error_code == "storage_unavailable"

    async def test_a_disk_that_hangs_does_not_hang_the_request_for_ever(self, threads: InlineThreads) -> None:
        async with stage(Watched()) as on:
            threads.takes_s = 40.0
            began = anyio.current_time()
            error = await on.ask_for_error(RecordingResponder())
            assert isinstance(error, StorageUnavailable)
            assert anyio.current_time() - began <= 40.0


class TestFailure:
    async def test_the_next_target_answers_for_one_that_failed(self) -> None:
        async with stage(failing("first", REFUSED), Watched("second", "fine")) as on:
            responder = RecordingResponder()
            await on.ask(responder)

            assert responder.text == "fine"
            assert responder.head is not None
            assert responder.head.attempts == 2
            assert responder.head.selected_target is not None
            assert responder.head.selected_target.id == "second/m"
            assert attempts(on, responder) == [("first/m", "failed", "connect"), ("second/m", "completed", None)]
            closed = on.store.closing(responder.receipt_id)
            assert (closed.status, closed.attempts, closed.selected_model) == ("completed", 2, "second/m")

    async def test_what_broke_before_a_release_is_never_seen(self) -> None:
        async with stage(failing("first", BROKEN, after_chunks=1), Watched("second", "fine")) as on:
            responder = RecordingResponder()
            await on.ask(responder)
        assert responder.text == "fine"

    async def test_after_a_release_nobody_else_is_asked(self) -> None:
        second = Watched("second")
        async with stage(failing("first", BROKEN, after_chunks=3), second) as on:
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)

            assert isinstance(error, ProviderError)
            assert (responder.text, responder.is_finished) == ("one two", False)
            assert second.calls == []
            closed = on.store.closing(responder.receipt_id)
            assert (closed.status, closed.error_code, closed.released) == ("provider_error", "provider_error", True)
            assert (closed.released_bytes, closed.selected_model) == (len("one two"), "first/m")

    async def test_the_same_target_is_asked_again_after_its_wait(self) -> None:
        provider = failing("first", REFUSED, times=2)
        policy = RetryPolicy(attempts=3, base_ms=200, max_ms=5000)
        async with stage(provider, retry=policy, jitter=0.5) as on:
            responder = RecordingResponder()
            began = anyio.current_time()
            await on.ask(responder)

            assert responder.text == "one two three"
            assert anyio.current_time() - began == pytest.approx(0.1 + 0.2)
            assert [target for target, _, _ in attempts(on, responder)] == ["first/m"] * 3

    async def test_all_calls_together_stay_within_the_budget(self) -> None:
        providers = [failing(name, REFUSED) for name in ("a", "b", "c", "d", "e")]
        model = cascade("a", "b", "c", "d", "e", max_attempts=4)
        async with stage(*providers, definition=model, retry=RetryPolicy(attempts=2, base_ms=0)) as on:
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)

            assert isinstance(error, ProviderError)
            assert [len(provider.calls) for provider in providers] == [2, 2, 0, 0, 0]
            assert responder.head is not None
            assert responder.head.attempts == 4
            assert on.store.closing(responder.receipt_id).attempts == 4

    @pytest.mark.parametrize(
        ("failures", "told"),
        [
            ([LIMITED, LIMITED], "rate_limited"),
            ([LIMITED, REFUSED], "connect"),
            ([REFUSED, LIMITED], "connect"),
            ([REFUSED, BROKEN], "stream_broken"),
        ],
    )
    async def test_a_rate_limit_is_told_only_when_there_was_nothing_else(
        self, failures: list[Failure], told: str
    ) -> None:
        providers = [failing(name, failure) for name, failure in zip(("a", "b"), failures, strict=True)]
        async with stage(*providers) as on:
            error = await on.ask_for_error(RecordingResponder())
        assert isinstance(error, ProviderError)
        assert error.failure.failure_class == told

    async def test_what_the_caller_caused_is_told_at_once(self) -> None:
        second = Watched("second")
        async with stage(failing("first", Failure("invalid_request", "no such role", status=400)), second) as on:
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)

            assert error.code == "invalid_request"
            assert second.calls == []
            closed = on.store.closing(responder.receipt_id)
            assert (closed.status, closed.error_code) == ("provider_error", "invalid_request")

    async def test_a_request_that_nothing_can_hold_is_recorded_and_refused(self) -> None:
        provider = Watched()
        async with stage(provider, definition=cascade("first", window=1)) as on:
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)

            assert isinstance(error, RequestError)
            assert (error.code, error.param) == ("context_length_exceeded", "messages")
            assert provider.calls == []
            assert event_names(on.store.events(responder.receipt_id)) == ["receipt.opened", "receipt.closed"]
            closed = on.store.closing(responder.receipt_id)
            assert (closed.status, closed.attempts, closed.selected_model) == ("route_blocked", 0, None)

    async def test_a_provider_that_is_gone_is_passed_over(self) -> None:
        async with stage(Watched(), Watched("second")) as on:
            await terminate_child(on.system.named(f"{ROOT}/providers"), "first")
            responder = RecordingResponder()
            await on.ask(responder)
            assert on.store.closing(responder.receipt_id).selected_model == "second/m"

            await terminate_child(on.system.named(f"{ROOT}/providers"), "second")
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)
            assert isinstance(error, NoTargetAvailable)
            passed = [event for event in on.store.events(responder.receipt_id) if isinstance(event, PassedOver)]
            assert [(event.model, event.reason) for event in passed] == [
                ("first/m", "not_configured"),
                ("second/m", "not_configured"),
            ]


class TestTime:
    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
    async def test_the_requests_time_is_the_first_targets_total(self, stream: bool) -> None:
        provider = Hanging()
        async with stage(provider, timeouts=Timeouts(first_token=1000, idle=1000, total=600)) as on:
            responder = RecordingResponder()
            error = await on.ask_for_error(responder, stream=stream)

            assert isinstance(error, DeadlineExceeded)
            assert provider.open_calls == 0
            closed = on.store.closing(responder.receipt_id)
            assert (closed.status, closed.error_code) == ("deadline_exceeded", "deadline_exceeded")
            assert closed.latency_ms == pytest.approx(600_000)
            assert attempts(on, responder) == [("first/m", "failed", "timeout")]

    async def test_a_silent_target_is_left_for_the_next(self) -> None:
        async with stage(Hanging("first"), Watched("second")) as on:
            responder = RecordingResponder()
            await on.ask(responder)
            assert attempts(on, responder) == [("first/m", "failed", "timeout"), ("second/m", "completed", None)]
            assert on.store.closing(responder.receipt_id).latency_ms == pytest.approx(60_000)

    async def test_time_is_used_up_over_all_attempts_together(self) -> None:
        silent = [Hanging(name) for name in ("a", "b", "c")]
        async with stage(*silent, timeouts=Timeouts(first_token=60, total=130)) as on:
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)

            assert isinstance(error, DeadlineExceeded)
            assert [provider.calls for provider in silent] == [1, 1, 1]
            assert on.store.closing(responder.receipt_id).latency_ms == pytest.approx(130_000)

    async def test_a_fallback_with_less_patience_of_its_own_is_still_asked(self) -> None:
        hasty = Timeouts(first_token=10, total=20)
        async with stage(Hanging("first"), Watched("second"), timeouts_of={"second": hasty}) as on:
            responder = RecordingResponder()
            await on.ask(responder)
            assert responder.text == "one two three"


class TestOurFaults:
    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
    async def test_a_bug_in_an_adapter_ends_one_run_and_is_reported(self, stream: bool, logs: Logs) -> None:
        def stumble(call: UpstreamCall) -> None:
            raise RuntimeError("a bug")

        async with stage(Watched(on_call=stumble)) as on:
            responder = RecordingResponder()
            error = await on.ask_for_error(responder, stream=stream)

            assert isinstance(error, InternalError)
            assert "a bug" not in error.message, "what a bug says is not for clients"
            closed = on.store.closing(responder.receipt_id)
            assert (closed.status, closed.error_code) == ("internal_error", "internal_error")
            assert attempts(on, responder) == [("first/m", "cancelled", None)]
            assert [report.path for report in on.events.of(CrashReport)] == [f"{RUNS}/{responder.receipt_id}"]
            assert [entry["event"] for entry in logs] == ["a run crashed"]
            assert on.leases() == 0

    async def test_a_client_connection_that_breaks_in_an_unexpected_way_is_a_bug_too(self) -> None:
        async def stumble(what: str) -> None:
            raise OSError("broken pipe")

        provider = Watched()
        async with stage(provider) as on:
            responder = RecordingResponder(stumble)
            error = await on.ask_for_error(responder)
            assert isinstance(error, InternalError)
            assert on.store.closing(responder.receipt_id).status == "internal_error"

    @pytest.mark.parametrize("moments", range(6))
    async def test_while_the_supervisor_of_runs_restarts_requests_wait_for_it(self, moments: int) -> None:
        async with stage(Watched()) as on:
            on.kill(RUNS)
            for _ in range(moments):
                await checkpoint()
            responder = RecordingResponder()
            await on.ask(responder)
            assert on.store.closing(responder.receipt_id).status == "completed"

    async def test_when_it_does_not_come_back_they_are_told_so_and_recorded_whole(self) -> None:
        provider = Watched()
        async with stage(provider) as on:
            await terminate_child(on.system.named(ROOT), "runs")
            responder = RecordingResponder()
            began = anyio.current_time()
            error = await on.ask_for_error(responder)

            assert isinstance(error, ActorRestarting)
            assert anyio.current_time() - began == pytest.approx(5.0)
            assert provider.calls == []
            assert event_names(on.store.events(responder.receipt_id)) == ["receipt.opened", "receipt.closed"]
            assert on.store.closing(responder.receipt_id).error_code == "actor_restarting"
            assert fold(on.store.entries(responder.receipt_id)).final is not None


class TestTheClient:
    @pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
    async def test_one_that_leaves_before_the_first_token_takes_the_call_along(self, stream: bool) -> None:
        provider = Hanging()
        async with stage(provider) as on, anyio.create_task_group() as tasks:
            responder = RecordingResponder()
            tasks.start_soon(partial(on.ask, responder, stream=stream))
            await anyio.sleep(5)
            assert provider.open_calls == 1
            responder.leave()
            await settle()

            assert provider.open_calls == 0
            assert on.live_runs() == []
            closed = on.store.closing(responder.receipt_id)
            assert (closed.status, closed.error_code, closed.released) == ("client_cancelled", None, False)
            assert attempts(on, responder) == [("first/m", "cancelled", None)]

    async def test_one_that_leaves_in_the_middle_is_charged_for_what_it_got(self) -> None:
        async with stage(Watched(chunk_delay_s=10)) as on, anyio.create_task_group() as tasks:
            responder = RecordingResponder()
            tasks.start_soon(on.ask, responder)
            await anyio.sleep(25)
            responder.leave()
            await settle()

            closed = on.store.closing(responder.receipt_id)
            assert (closed.status, closed.released) == ("client_cancelled", True)
            assert closed.released_bytes == len("one two")
            assert not responder.is_finished

    async def test_one_that_leaves_while_we_wait_to_retry_ends_the_wait(self) -> None:
        provider = failing("first", REFUSED)
        policy = RetryPolicy(attempts=2, base_ms=60_000, max_ms=60_000)
        async with stage(provider, retry=policy, jitter=0.9) as on, anyio.create_task_group() as tasks:
            responder = RecordingResponder()
            tasks.start_soon(on.ask, responder)
            await anyio.sleep(5)
            assert on.details(f"{RUNS}/{responder.receipt_id}")["phase"] == "waiting to retry"
            responder.leave()
            await settle()

            assert len(provider.calls) == 1
            assert on.store.closing(responder.receipt_id).status == "client_cancelled"

    async def test_one_that_was_gone_before_anything_began_costs_no_call(self) -> None:
        provider = Watched()
        async with stage(provider) as on:
            responder = RecordingResponder()
            responder.leave()
            await on.ask(responder)
            assert provider.calls == []
            assert on.store.closing(responder.receipt_id).status == "client_cancelled"

    async def test_is_no_longer_watched_when_the_request_has_ended(self) -> None:
        for provider in (Watched(), failing("first", REFUSED)):
            async with stage(provider) as on:
                responder = RecordingResponder()
                try:
                    await on.ask(responder)
                except ProviderError:
                    pass
                assert not responder.is_watched


class TestTheTree:
    async def test_a_live_run_is_a_member_that_shows_itself_without_content(self) -> None:
        async with stage(Watched(chunk_delay_s=10)) as on, anyio.create_task_group() as tasks:
            responder = RecordingResponder()
            tasks.start_soon(on.ask, responder)
            await anyio.sleep(5)
            path = f"{RUNS}/{responder.receipt_id}"
            assert on.live_runs() == [path]
            assert on.details(path) == {
                "receipt_id": responder.receipt_id,
                "model": "test-model",
                "stream": True,
                "phase": "waiting for first token",
                "attempt": 1,
                "target": "first/m",
                "provider": "first",
                "generated_bytes": 0,
                "released_bytes": 0,
            }
            await anyio.sleep(20)
            assert on.details(path)["phase"] == "streaming"
            shown = on.details(path)
            assert shown["generated_bytes"] == shown["released_bytes"] == len("one two")
            assert on.metrics.registry.get_sample_value("wardwright_live_runs") == 1

    async def test_a_run_that_is_cancelled_from_outside_is_recorded_as_interrupted(self) -> None:
        provider = Hanging()
        async with stage(provider) as on:
            responder = RecordingResponder()
            with anyio.move_on_after(5) as outside:
                await on.ask(responder)

            assert outside.cancelled_caught, "the cancellation goes on when the receipt is closed"
            closed = on.store.closing(responder.receipt_id)
            assert (closed.status, closed.error_code) == ("interrupted", "actor_restarting")
            assert provider.open_calls == 0

    async def test_a_cancelled_run_waits_only_so_long_for_a_disk_that_hangs(self, threads: InlineThreads) -> None:
        async with stage(Hanging()) as on:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(on.ask, RecordingResponder())
                await anyio.sleep(5)
                threads.takes_s = 1000.0
                tasks.cancel_scope.cancel()
            assert anyio.current_time() - 5 <= 15
            threads.takes_s = 0.0

    async def test_nor_longer_for_a_store_that_dies_again_and_again(self, threads: InlineThreads) -> None:
        async with stage(Hanging()) as on, anyio.create_task_group() as killing:

            async def kill_the_store() -> None:
                while True:
                    await anyio.sleep(4)
                    if on.system.whereis(STORAGE) is not None:
                        on.kill(STORAGE)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(on.ask, RecordingResponder())
                await anyio.sleep(5)
                threads.takes_s = 1000.0
                killing.start_soon(kill_the_store)
                tasks.cancel_scope.cancel()
            assert anyio.current_time() - 5 == pytest.approx(15)
            killing.cancel_scope.cancel()
            threads.takes_s = 0.0

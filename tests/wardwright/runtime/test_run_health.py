"""What a run does about the health of its candidates: who is asked, who is passed over, how long it waits, what it finds out."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress

import anyio
import pytest

from supervisors.testing import settle
from tests.wardwright.runtime.providers import BROKEN, REFUSED, Hanging, Watched, failing
from tests.wardwright.runtime.responders import RecordingResponder
from tests.wardwright.runtime.stage import Stage, cascade, stage
from wardwright.config.settings import Timeouts
from wardwright.domain.chat import Completion
from wardwright.domain.errors import (
    DeadlineExceeded,
    Failure,
    NoTargetAvailable,
    Overloaded,
    ProviderError,
    RateLimitExceeded,
    StorageUnavailable,
    WardwrightError,
)
from wardwright.domain.limits import RateWindow
from wardwright.domain.stream import Frame
from wardwright.planner.attempts import RetryPolicy
from wardwright.planner.breaker import BreakerPolicy, Closed, Open
from wardwright.ports.provider import UpstreamCall
from wardwright.providers.canned import ScriptedFailure
from wardwright.receipts.events import AttemptFinished, PassedOver
from wardwright.runtime.gate import Admission
from wardwright.runtime.tree import PROVIDERS

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

BREAKER = BreakerPolicy(failures=2, window_s=30, open_s=15)
STREAM_AND_UNARY = pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
BUSY = Timeouts(connect=5, first_token=60, idle=30, total=100)


def lock(on: Stage, provider: str) -> None:
    """Have a provider refuse our credentials, which opens its breaker."""
    report(on, provider, Failure("auth", "no", 401))


def report(on: Stage, provider: str, failure: Failure) -> None:
    admission = on.gate(provider).enter_nowait(f"{provider}/m")
    assert isinstance(admission, Admission)
    with admission:
        admission.settle(failure, 1.0)


def passed_over(on: Stage, responder: RecordingResponder) -> list[tuple[str, str]]:
    events = on.store.events(responder.receipt_id)
    return [(event.model, event.reason) for event in events if isinstance(event, PassedOver)]


def attempted(on: Stage, responder: RecordingResponder) -> list[str]:
    return [event.model for event in on.store.events(responder.receipt_id) if isinstance(event, AttemptFinished)]


class Meddling(Watched):
    """A provider during whose call something happens to another, so that no plan could have known."""

    def __init__(self, failure: Failure, *meddle: "tuple[str, Failure]") -> None:
        super().__init__("first", failures=[ScriptedFailure(failure)] * 9, on_call=self._during)
        self.on: Stage | None = None
        self._meddle = meddle

    def _during(self, call: UpstreamCall) -> None:
        assert self.on is not None
        for provider, failure in self._meddle:
            report(self.on, provider, failure)


class TestPassedOver:
    @STREAM_AND_UNARY
    async def test_a_candidate_that_is_out_of_service_is_not_called_and_the_receipt_says_why(
        self, stream: bool
    ) -> None:
        first, second = Meddling(REFUSED, ("second", Failure("auth", "no", 401))), Watched("second")
        async with stage(first, second, Watched("third", "fine"), breaker=BREAKER) as on:
            first.on = on
            responder = RecordingResponder()
            await on.ask(responder, stream=stream)

            assert second.calls == []
            assert passed_over(on, responder) == [("second/m", "breaker_open")]
            assert attempted(on, responder) == ["first/m", "third/m"]
            closed = on.store.closing(responder.receipt_id)
            assert (closed.status, closed.attempts, closed.selected_model) == ("completed", 2, "third/m")
            value = on.metrics.registry.get_sample_value
            assert value("wardwright_fallbacks_total", {"provider": "first", "reason": "connect"}) == 1
            assert value("wardwright_fallbacks_total", {"provider": "second", "reason": "breaker_open"}) == 1

    async def test_its_own_failures_may_keep_a_target_from_being_asked_again(self) -> None:
        first = failing("first", REFUSED)
        policy = RetryPolicy(attempts=5, base_ms=0)
        async with stage(first, Watched("second"), breaker=BREAKER, retry=policy) as on:
            responder = RecordingResponder()
            await on.ask(responder)

            assert len(first.calls) == 2
            assert passed_over(on, responder) == [("first/m", "breaker_open")]
            assert attempted(on, responder) == ["first/m", "first/m", "second/m"]
            value = on.metrics.registry.get_sample_value
            assert value("wardwright_retries_total", {"provider": "first", "reason": "connect"}) == 2

    async def test_what_was_passed_over_is_no_attempt_of_the_budget(self) -> None:
        first = Meddling(REFUSED, ("second", Failure("auth", "no", 401)))
        third = failing("third", REFUSED)
        async with stage(first, Watched("second"), third, breaker=BREAKER) as on:
            first.on = on
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)
            assert isinstance(error, ProviderError)
            assert on.store.closing(responder.receipt_id).attempts == 2

    @pytest.mark.parametrize(
        ("failures", "error", "retry_after_s"),
        [
            ([Failure("auth", "", 401), Failure("auth", "", 401)], NoTargetAvailable, 15),
            ([Failure("rate_limited", "", 429, 9.0), Failure("auth", "", 401)], NoTargetAvailable, 9),
            ([Failure("rate_limited", "", 429, 9.0), Failure("rate_limited", "", 429, 4.0)], RateLimitExceeded, 4),
        ],
    )
    async def test_when_nobody_can_be_asked_the_client_is_told_when_somebody_may(
        self, failures: Sequence[Failure], error: type[WardwrightError], retry_after_s: float
    ) -> None:
        providers = [Watched(name) for name in ("first", "second")]
        async with stage(*providers, breaker=BREAKER) as on:
            for provider, failure in zip(providers, failures, strict=True):
                report(on, provider.info.id, failure)
            responder = RecordingResponder()
            told = await on.ask_for_error(responder)

            assert (type(told), told.retry_after_s) == (error, retry_after_s)
            assert [provider.calls for provider in providers] == [[], []]
            closed = on.store.closing(responder.receipt_id)
            assert (closed.status, closed.error_code, closed.attempts) == ("route_blocked", told.code, 0)

    async def test_a_rate_limit_that_was_met_by_every_attempt_says_when_the_first_target_is_free_again(self) -> None:
        limited = [failing(name, Failure("rate_limited", "", 429, wait)) for name, wait in (("a", 30.0), ("b", 60.0))]
        async with stage(*limited) as on:
            error = await on.ask_for_error(RecordingResponder())
            assert (error.code, error.retry_after_s) == ("rate_limit_exceeded", 30)

    async def test_what_an_answer_says_of_its_limits_counts_for_the_next_request(self) -> None:
        class Stating(Watched):
            async def complete(self, call: UpstreamCall) -> Completion:
                call.hear([RateWindow("requests", 1, 0, 60.0)])
                return await super().complete(call)

        first = Stating("first")
        async with stage(first, Watched("second", "fine")) as on:
            await on.ask(RecordingResponder(), stream=False)
            responder = RecordingResponder()
            await on.ask(responder, stream=False)
            assert len(first.calls) == 1
            assert attempted(on, responder) == ["second/m"]


class TestProbe:
    @STREAM_AND_UNARY
    async def test_of_many_requests_exactly_one_is_the_probe(self, stream: bool) -> None:
        first = Watched("first", chunk_delay_s=1.0)
        async with stage(first, Watched("second"), breaker=BREAKER) as on:
            lock(on, "first")
            await anyio.sleep(15)
            responders = [RecordingResponder() for _ in range(20)]
            async with anyio.create_task_group() as tasks:
                for responder in responders:
                    tasks.start_soon(_ask, on, responder, stream)
            assert len(first.calls) == 1
            assert all(responder.is_finished for responder in responders)
            assert isinstance(on.gate("first").breaker, Closed)
            await on.ask(RecordingResponder(), stream=stream)
            assert len(first.calls) == 2

    async def test_a_probe_that_streams_for_long_lets_the_others_in_with_its_first_content(self) -> None:
        first = Watched("first", "word " * 60, chunk_delay_s=1.0)
        async with stage(first, breaker=BREAKER) as on, anyio.create_task_group() as tasks:
            lock(on, "first")
            await anyio.sleep(15)
            tasks.start_soon(on.ask, RecordingResponder())
            await anyio.sleep(3)
            tasks.start_soon(on.ask, RecordingResponder())
            await settle()
            assert len(first.calls) == 2

    @STREAM_AND_UNARY
    @pytest.mark.parametrize("how", ["client leaves", "run is killed"])
    async def test_a_probe_that_is_called_off_leaves_it_to_the_next_request(self, how: str, stream: bool) -> None:
        hanging = Hanging()
        async with stage(hanging, breaker=BREAKER) as on, anyio.create_task_group() as tasks:
            lock(on, "first")
            await anyio.sleep(15)
            responder = RecordingResponder()
            tasks.start_soon(_ask, on, responder, stream)
            await settle()
            assert hanging.open_calls == 1
            if how == "client leaves":
                responder.leave()
            else:
                on.kill(on.live_runs()[0])
            await settle()
            assert (hanging.open_calls, on.permits()) == (0, 0)
            tasks.start_soon(_ask, on, RecordingResponder(), stream)
            await settle()
            assert hanging.calls == 2
            tasks.cancel_scope.cancel()

    async def test_a_crash_of_the_providers_actor_changes_nothing(self) -> None:
        first = Watched("first", chunk_delay_s=5.0)
        async with stage(first, breaker=BREAKER) as on, anyio.create_task_group() as tasks:
            lock(on, "first")
            on.kill(f"{PROVIDERS}/first")
            await settle()
            assert isinstance(await on.ask_for_error(RecordingResponder()), NoTargetAvailable)
            await anyio.sleep(15)
            tasks.start_soon(on.ask, RecordingResponder())
            await anyio.sleep(1)
            on.kill(f"{PROVIDERS}/first")
            await settle()
            assert isinstance(await on.ask_for_error(RecordingResponder()), NoTargetAvailable)
            assert on.permits() == 1
        assert on.permits() == 0


class TestFairness:
    async def test_a_fallback_that_had_no_time_left_is_not_blamed(self) -> None:
        slow = {"first": Timeouts(first_token=95, idle=95, total=100), "second": Timeouts(total=100)}
        async with stage(
            Hanging("first"), Hanging("second"), timeouts_of=slow, breaker=BreakerPolicy(failures=1)
        ) as on:
            error = await on.ask_for_error(RecordingResponder())
            assert isinstance(error, DeadlineExceeded)
            assert isinstance(on.gate("first").breaker, Open)
            assert isinstance(on.gate("second").breaker, Closed)

    async def test_a_provider_that_used_all_of_the_requests_time_is(self) -> None:
        async with stage(Hanging("first"), timeouts=BUSY, breaker=BreakerPolicy(failures=1)) as on:
            error = await on.ask_for_error(RecordingResponder(), stream=False)
            assert isinstance(error, DeadlineExceeded)
            assert isinstance(on.gate("first").breaker, Open)

    async def test_one_whose_client_used_it_up_is_not(self) -> None:
        async def take_for_ever(what: str) -> None:
            if what == "release":
                await anyio.sleep_forever()

        async with stage(Watched(), timeouts=BUSY, breaker=BreakerPolicy(failures=1)) as on:
            error = await on.ask_for_error(RecordingResponder(on_send=take_for_ever))
            assert isinstance(error, DeadlineExceeded)
            assert isinstance(on.gate("first").breaker, Closed)

    async def test_what_the_caller_got_wrong_and_clients_that_leave_do_not_count(self) -> None:
        wrong = failing("first", Failure("invalid_request", "", 422))
        async with stage(wrong, breaker=BreakerPolicy(failures=1)) as on:
            for _ in range(5):
                await on.ask_for_error(RecordingResponder())
            assert len(wrong.calls) == 5
        async with stage(Hanging(), breaker=BreakerPolicy(failures=1)) as on, anyio.create_task_group() as tasks:
            for _ in range(5):
                responder = RecordingResponder()
                tasks.start_soon(on.ask, responder)
                await settle()
                responder.leave()
                await settle()
            assert isinstance(on.gate("first").breaker, Closed)
            assert on.gate("first").outcomes.total("cancelled") == 5

    async def test_a_stream_that_breaks_after_its_release_counts(self) -> None:
        broken = failing("first", BROKEN, after_chunks=3)
        async with stage(broken, breaker=BREAKER) as on:
            for _ in range(2):
                assert isinstance(await on.ask_for_error(RecordingResponder()), ProviderError)
            assert isinstance(await on.ask_for_error(RecordingResponder()), NoTargetAvailable)
            assert len(broken.calls) == 2


class TestQueue:
    @STREAM_AND_UNARY
    async def test_no_more_calls_are_made_at_a_time_than_there_are_permits(self, stream: bool) -> None:
        counting = Counting()
        async with stage(counting, max_concurrency=3) as on:
            responders = [RecordingResponder() for _ in range(10)]
            async with anyio.create_task_group() as tasks:
                for responder in responders:
                    tasks.start_soon(_ask, on, responder, stream)
            assert all(responder.is_finished for responder in responders)
            assert (counting.most, on.permits()) == (3, 0)
            value = on.metrics.registry.get_sample_value
            assert value("wardwright_permit_wait_seconds_count", {"provider": "first"}) == 7

    async def test_who_waits_can_be_seen_and_has_an_open_receipt(self) -> None:
        async with stage(Hanging(), max_concurrency=1) as on, anyio.create_task_group() as tasks:
            tasks.start_soon(on.ask, RecordingResponder())
            await settle()
            responder = RecordingResponder()
            tasks.start_soon(on.ask, responder)
            await settle()
            assert on.details(f"wardwright/runs/{responder.receipt_id}")["phase"] == "waiting for a permit"
            assert len(on.store.events(responder.receipt_id)) == 1
            tasks.cancel_scope.cancel()

    @STREAM_AND_UNARY
    async def test_with_nowhere_else_to_go_a_request_waits_until_its_time_is_used_up(self, stream: bool) -> None:
        hanging = Hanging()
        timeouts = Timeouts(connect=5, first_token=1000, idle=1000, total=100)
        async with stage(hanging, max_concurrency=1, timeouts=timeouts) as on, anyio.create_task_group() as tasks:
            tasks.start_soon(_ask_in_vain, on, RecordingResponder())
            await anyio.sleep(10)
            tasks.start_soon(_ask_in_vain, on, RecordingResponder())
            await settle()
            began = anyio.current_time()
            responder = RecordingResponder()
            error = await on.ask_for_error(responder, stream=stream)
            assert isinstance(error, DeadlineExceeded)
            assert anyio.current_time() - began == 100
            assert on.store.closing(responder.receipt_id).status == "deadline_exceeded"
            assert hanging.calls == 2
        assert on.permits() == 0

    async def test_with_somewhere_else_to_go_it_waits_no_longer_than_for_a_connection(self) -> None:
        providers = Hanging("first"), Watched("second")
        async with stage(*providers, max_concurrency=1, timeouts=BUSY) as on, anyio.create_task_group() as tasks:
            tasks.start_soon(_ask, on, RecordingResponder(), True)
            await settle()
            began = anyio.current_time()
            responder = RecordingResponder()
            await on.ask(responder)
            assert anyio.current_time() - began == 5
            [event] = [event for event in on.store.events(responder.receipt_id) if isinstance(event, PassedOver)]
            assert (event.model, event.reason, event.waited_ms) == ("first/m", "saturated", 5000)
            tasks.cancel_scope.cancel()

    async def test_where_too_many_wait_already_a_request_is_told_so_at_once(self) -> None:
        async with stage(Hanging(), max_concurrency=1, timeouts=BUSY) as on, anyio.create_task_group() as tasks:
            for _ in range(17):
                tasks.start_soon(_ask_in_vain, on, RecordingResponder())
                await settle()
            began = anyio.current_time()
            responder = RecordingResponder()
            error = await on.ask_for_error(responder)
            assert anyio.current_time() == began
            assert isinstance(error, Overloaded | NoTargetAvailable)
            assert on.store.closing(responder.receipt_id).attempts == 0
            tasks.cancel_scope.cancel()

    async def test_a_client_that_leaves_the_queue_leaves_no_gap(self) -> None:
        async with stage(Watched("first", chunk_delay_s=10.0), max_concurrency=1) as on:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(on.ask, RecordingResponder())
                await settle()
                leaving, staying = RecordingResponder(), RecordingResponder()
                for responder in (leaving, staying):
                    tasks.start_soon(on.ask, responder)
                    await settle()
                leaving.leave()
            assert staying.is_finished
            assert on.store.closing(leaving.receipt_id).status == "client_cancelled"
            assert on.permits() == 0

    async def test_storage_that_fails_while_it_would_wait_ends_the_request(self) -> None:
        async with stage(Hanging(), max_concurrency=1) as on, anyio.create_task_group() as tasks:
            tasks.start_soon(on.ask, RecordingResponder())
            await settle()
            on.store.fail_at(1)
            assert isinstance(await on.ask_for_error(RecordingResponder()), StorageUnavailable)
            assert on.permits() == 1
            tasks.cancel_scope.cancel()


class TestTime:
    async def test_a_wait_that_would_outlast_the_request_is_not_begun(self) -> None:
        limited = failing("first", Failure("rate_limited", "", 429, 50.0))
        policy = RetryPolicy(attempts=2, base_ms=0, max_wait_ms=60_000)
        timeouts = Timeouts(total=40)
        async with stage(limited, Watched("second", "fine"), retry=policy, timeouts=timeouts) as on:
            began = anyio.current_time()
            responder = RecordingResponder()
            await on.ask(responder)
            assert (responder.text, anyio.current_time()) == ("fine", began)

    async def test_a_whole_answer_that_never_comes_leaves_half_of_the_time_to_the_next_target(self) -> None:
        async with stage(Hanging("first"), Watched("second", chunk_delay_s=30.0), timeouts=BUSY) as on:
            began = anyio.current_time()
            responder = RecordingResponder()
            await on.ask(responder, stream=False)
            assert anyio.current_time() - began == 50 + 30
            assert attempted(on, responder) == ["first/m", "second/m"]
            [failed, _] = [
                event for event in on.store.events(responder.receipt_id) if isinstance(event, AttemptFinished)
            ]
            assert failed.failure is not None
            assert (failed.failure.failure_class, failed.failure.clock) == ("timeout", "total")

    async def test_with_no_call_left_for_a_fallback_a_whole_answer_has_all_of_the_time(self) -> None:
        definition = cascade("first", "second", max_attempts=1)
        providers = Watched("first", chunk_delay_s=90.0), Watched("second")
        async with stage(*providers, definition=definition, timeouts=BUSY) as on:
            responder = RecordingResponder()
            await on.ask(responder, stream=False)
            assert attempted(on, responder) == ["first/m"]

    async def test_a_wait_within_the_requests_time_is_waited(self) -> None:
        limited = failing("first", Failure("rate_limited", "", 429, 30.0), times=1)
        policy = RetryPolicy(attempts=2, base_ms=0, max_wait_ms=60_000)
        async with stage(limited, Watched("second"), retry=policy, timeouts=Timeouts(total=40)) as on:
            began = anyio.current_time()
            responder = RecordingResponder()
            await on.ask(responder)
            assert attempted(on, responder) == ["first/m", "first/m"]
            assert anyio.current_time() - began == 30


class Counting(Watched):
    """A provider that counts the calls it is given at a time."""

    def __init__(self) -> None:
        super().__init__("first", chunk_delay_s=1.0)
        self.now = self.most = 0

    async def complete(self, call: UpstreamCall) -> Completion:
        with self._counted():
            return await super().complete(call)

    @asynccontextmanager
    async def stream(self, call: UpstreamCall) -> AsyncIterator[AsyncIterator[Sequence[Frame]]]:
        with self._counted():
            async with super().stream(call) as batches:
                yield batches

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            yield
        finally:
            self.now -= 1


class Moody(Watched):
    """A provider that does something else at each call, drawn by `fate`."""

    def __init__(self, name: str, fate: random.Random) -> None:
        super().__init__(name, chunk_delay_s=0.5)
        self._fate = fate

    async def complete(self, call: UpstreamCall) -> Completion:
        await self._suffer(call)
        return await super().complete(call)

    @asynccontextmanager
    async def stream(self, call: UpstreamCall) -> AsyncIterator[AsyncIterator[Sequence[Frame]]]:
        await self._suffer(call)
        async with super().stream(call) as batches:
            yield batches

    async def _suffer(self, call: UpstreamCall) -> None:
        await anyio.sleep(self._fate.choice((0, 0, 0, 0.1, 0.5, 3, 3, 400)))
        failure = self._fate.choice(
            (*[None] * 8, REFUSED, BROKEN, BROKEN, Failure("auth", "", 401), Failure("rate_limited", "", 429, 2.0))
        )
        if self._fate.random() < 0.1:
            call.hear([RateWindow("requests", 10, 0, 5.0)])
        if self._fate.random() < 0.05:
            raise RuntimeError("a bug in the adapter")
        if failure is not None:
            raise ProviderError(failure)


class TestAccounting:
    @pytest.mark.parametrize("seed", range(4))
    async def test_after_any_mixture_of_faults_kills_and_departures_everything_adds_up(self, seed: int) -> None:
        fate = random.Random(seed)
        providers = [Moody(name, fate) for name in ("first", "second", "third")]
        breaker, retry = BreakerPolicy(failures=3, window_s=30, open_s=5), RetryPolicy(attempts=2, base_ms=10)
        async with stage(*providers, breaker=breaker, retry=retry, max_concurrency=4, timeouts=BUSY) as on:
            responders = [RecordingResponder() for _ in range(120)]
            async with anyio.create_task_group() as tasks:
                for number, responder in enumerate(responders):
                    tasks.start_soon(_ask_whatever_comes, on, responder, number % 2 == 0)
                    await anyio.sleep(fate.choice((0, 0, 1, 4)))
                    if fate.random() < 0.1:
                        fate.choice(responders[: number + 1]).leave()
                    if fate.random() < 0.1:
                        path = fate.choice([f"{PROVIDERS}/{fate.choice(providers).info.id}", *on.live_runs()])
                        ref = on.system.whereis(path)
                        if ref is not None:  # it may be starting again
                            ref.kill()
            await settle()

            assert (on.permits(), on.leases(), on.live_runs()) == (0, 0, [])
            assert counted(on) == recorded(on, responders)
            assert recorded(on, responders).total() > 50

            await anyio.sleep(3600)
            for provider in providers:
                gate = on.gate(provider.info.id)
                entered = gate.enter_nowait(f"{provider.info.id}/m")
                assert isinstance(entered, Admission), "whatever it was, it is over"
                with entered:
                    entered.settle(None, 1.0)
                assert gate.is_well


def recorded(on: Stage, responders: Sequence[RecordingResponder]) -> Counter[tuple[str, str]]:
    """How calls ended by target, going by the receipts."""
    return Counter(
        (event.model, event.status)
        for responder in responders
        if responder.head is not None
        for event in on.store.events(responder.receipt_id)
        if isinstance(event, AttemptFinished)
    )


def counted(on: Stage) -> Counter[tuple[str, str]]:
    """The same, going by what operators are shown."""
    counts: Counter[tuple[str, str]] = Counter()
    for gate in on.boards.providers.health.gates().values():
        for target, outcomes in gate.outcomes.by_target.items():
            for status in ("completed", "failed", "cancelled"):
                counts[target, status] += getattr(outcomes, status)
    return +counts


async def _ask_whatever_comes(on: Stage, responder: RecordingResponder, stream: bool) -> None:
    with suppress(WardwrightError):
        await on.ask(responder, stream=stream)


async def _ask(on: Stage, responder: RecordingResponder, stream: bool) -> None:
    try:
        await on.ask(responder, stream=stream)
    except WardwrightError as error:
        assert error.code == "internal_error", error  # noqa: PT017 - what a killed run tells


async def _ask_in_vain(on: Stage, responder: RecordingResponder) -> None:
    assert isinstance(await on.ask_for_error(responder), DeadlineExceeded)


class TestWhatATargetHasNoWayToSay:
    UNABLE = Failure("invalid_request", "n: this target gives one answer", code="unsupported_parameter")

    @STREAM_AND_UNARY
    async def test_another_target_may_have_one(self, *, stream: bool) -> None:
        async with stage(failing("first", self.UNABLE), Watched("second")) as on:
            responder = RecordingResponder()
            await on.ask(responder, stream=stream)
            finished = [one for one in on.store.events(responder.receipt_id) if isinstance(one, AttemptFinished)]
            assert [(one.model, one.status) for one in finished] == [("first/m", "failed"), ("second/m", "completed")]
            assert on.gate("first").is_sound

    async def test_where_none_has_the_request_is_refused(self) -> None:
        async with stage(failing("first", self.UNABLE), failing("second", self.UNABLE)) as on:
            with pytest.raises(ProviderError) as refused:
                await on.ask(RecordingResponder())
        assert (refused.value.code, refused.value.retryable) == ("unsupported_parameter", False)

    @pytest.mark.parametrize(
        ("failure", "code"),
        [
            (Failure("server_error", "", 500), "provider_error"),
            (Failure("rate_limited", "", 429), "rate_limit_exceeded"),
        ],
    )
    async def test_how_another_one_failed_is_told_before_it(self, failure: Failure, code: str) -> None:
        async with stage(failing("first", failure), failing("second", self.UNABLE)) as on:
            with pytest.raises(WardwrightError) as told:
                await on.ask(RecordingResponder())
        assert told.value.code == code

    async def test_while_one_that_may_have_one_is_left_alone_the_request_is_to_come_again(self) -> None:
        async with stage(failing("first", self.UNABLE), Watched("second"), breaker=BREAKER) as on:
            lock(on, "second")
            with pytest.raises(NoTargetAvailable) as told:
                await on.ask(RecordingResponder())
            assert told.value.retry_after_s == 15

    async def test_a_probe_that_asked_nobody_has_found_out_nothing(self) -> None:
        async with stage(failing("first", self.UNABLE), Watched("second"), breaker=BREAKER) as on:
            lock(on, "first")
            await anyio.sleep(15)
            await on.ask(RecordingResponder())
            assert on.gate("first").breaker == Open(anyio.current_time())

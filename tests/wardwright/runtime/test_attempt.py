"""One upstream call: its clocks, what it counts, and what it holds back."""

import gc
import math
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import msgspec
import pytest

from supervisors import Supervisor, System
from supervisors.testing import settle
from tests.support.calls import upstream_call
from wardwright.config.settings import Timeouts
from wardwright.domain.chat import Completion, Usage
from wardwright.domain.errors import DeadlineExceeded, Failure, ProviderError
from wardwright.domain.stream import (
    Finish,
    Frame,
    Reasoning,
    Start,
    StreamEvent,
    Text,
    ToolArguments,
    ToolCallStart,
    UsageReport,
)
from wardwright.ports.provider import ProviderInfo, UpstreamCall
from wardwright.runtime import attempt
from wardwright.wire.openai import parse_completion

pytestmark = pytest.mark.anyio

TIMEOUTS = Timeouts(connect=5, first_token=60, idle=30, total=600)
LIMITLESS = math.inf

ROLE = Frame({}, (Start(0),))
STOP = Frame({}, (Finish(0, "stop"),))
USAGE = Frame({}, (UsageReport(Usage(7, 3)),))
UNKNOWN = Frame({}, ())


def text(words: str, choice: int = 0) -> Frame:
    return frame(Text(choice, words))


def frame(*events: StreamEvent) -> Frame:
    return Frame({}, events)


class Script:
    """A provider that sends batches, or waits, or raises, in the order it is told. Numbers are seconds to wait."""

    def __init__(self, *steps: Sequence[Frame] | float | Exception, whole: Completion | None = None) -> None:
        self.info = ProviderInfo("script", "script")
        self.is_open = False
        self._steps = steps
        self._whole = whole

    async def complete(self, call: UpstreamCall) -> Completion:
        for step in self._steps:
            await self._wait(step)
        assert self._whole is not None
        return self._whole

    @asynccontextmanager
    async def stream(self, call: UpstreamCall) -> AsyncIterator[AsyncIterator[Sequence[Frame]]]:
        self.is_open = True
        batches = self._batches()
        try:
            yield batches
        finally:
            self.is_open = False
            if isinstance(batches, AsyncGenerator):
                await (
                    batches.aclose()
                )  # who leaves early would leave it to the garbage collector, of which trio complains

    async def aclose(self) -> None:
        pass

    def _batches(self) -> AsyncIterator[Sequence[Frame]]:
        return self._play()

    async def _play(self) -> AsyncIterator[Sequence[Frame]]:
        for step in self._steps:
            if isinstance(step, int | float | Exception):
                await self._wait(step)
            else:
                yield step

    async def _wait(self, step: object) -> None:
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, int | float)
        await anyio.sleep(step)


class Flood(Script):
    """Always has more, at once."""

    reads = 0

    def _batches(self) -> "Flood":
        return self

    def __aiter__(self) -> "Flood":
        return self

    async def __anext__(self) -> Sequence[Frame]:
        await anyio.lowlevel.checkpoint()
        self.reads += 1
        return [text("more ")]


class Attempt:
    """One attempt in a system's time, and what came of it."""

    def __init__(self, system: System, timeouts: Timeouts, deadline: float) -> None:
        self.began = system.now()
        self.tally = attempt.Tally(system.now())
        self.released: list[Sequence[Frame]] = []
        self.on_release: Callable[[], Awaitable[None]] | None = None
        self._system = system
        self._clocks = attempt.Clocks(system, timeouts, deadline=system.now() + deadline)

    async def stream(self, provider: Script) -> list[Frame]:
        return await attempt.stream(provider, upstream_call(stream=True), self.tally, self._clocks, self._release)

    async def complete(self, provider: Script) -> Completion:
        return await attempt.complete(provider, upstream_call(), self.tally, self._clocks)

    @property
    def elapsed(self) -> float:
        return self._system.now() - self.began

    async def _release(self, frames: Sequence[Frame]) -> None:
        self.released.append(tuple(frames))
        if self.on_release is not None:
            await self.on_release()


@asynccontextmanager
async def attempting(*, timeouts: Timeouts = TIMEOUTS, deadline: float = LIMITLESS) -> AsyncIterator[Attempt]:
    async with System("test", Supervisor()) as system:
        yield Attempt(system, timeouts, deadline)


async def failure_of(call: Awaitable[object]) -> Failure:
    with pytest.raises(ProviderError) as caught:
        await call
    return caught.value.failure


class TestHolding:
    async def test_nothing_leaves_before_the_first_content(self) -> None:
        async with attempting() as one:
            broken = ProviderError(Failure("stream_broken", "cut"))
            with pytest.raises(ProviderError, match="cut"):
                await one.stream(Script([ROLE], [UNKNOWN], broken))
        assert one.released == []
        assert not one.tally.has_released

    async def test_what_was_held_leaves_with_the_first_content_in_order(self) -> None:
        async with attempting() as one:
            await one.stream(Script([ROLE], [UNKNOWN], [text("Hello")], [text(" you")]))
        assert one.released == [(ROLE, UNKNOWN, text("Hello")), (text(" you"),)]
        assert one.tally.has_released

    async def test_each_batch_leaves_as_one(self) -> None:
        async with attempting() as one:
            await one.stream(Script([ROLE, text("a"), text("b")], [text("c"), text("d")]))
        assert one.released == [(ROLE, text("a"), text("b")), (text("c"), text("d"))]

    @pytest.mark.parametrize(
        "content",
        [
            frame(Reasoning(0, "hm")),
            frame(ToolCallStart(0, 0, "call_1", "look")),
            frame(ToolArguments(0, 0, "{}")),
            frame(Start(0), Text(0, "at once")),
        ],
        ids=["reasoning", "tool call", "tool arguments", "role and text"],
    )
    async def test_whatever_a_client_may_act_on_is_content(self, content: Frame) -> None:
        async with attempting() as one:
            await one.stream(Script([ROLE], [content]))
        assert one.released == [(ROLE, content)]

    async def test_final_frames_wait_for_the_receipt(self) -> None:
        async with attempting() as one:
            tail = await one.stream(Script([ROLE, text("a")], [STOP], [USAGE]))
        assert one.released == [(ROLE, text("a"))]
        assert tail == [STOP, USAGE]

    async def test_an_answer_that_comes_all_at_once_is_parted_at_its_first_final_frame(self) -> None:
        async with attempting() as one:
            tail = await one.stream(Script([ROLE, text("a"), STOP, UNKNOWN, USAGE]))
        assert one.released == [(ROLE, text("a"))]
        assert tail == [STOP, UNKNOWN, USAGE]

    async def test_a_choice_that_has_ended_keeps_no_other_waiting(self) -> None:
        later = [frame(Start(1)), text("b", 1), frame(Finish(1, "stop"))]
        async with attempting() as one:
            tail = await one.stream(Script([ROLE, text("a"), STOP, later[0]], [later[1]], [text("c", 1)], [later[2]]))
        assert one.released == [(ROLE, text("a"), later[0]), (later[1],), (text("c", 1),)]
        assert tail == [STOP, later[2]]

    async def test_content_in_a_final_frame_waits_with_it(self) -> None:
        both = frame(Text(0, "all of it"), Finish(0, "stop"))
        async with attempting() as one:
            tail = await one.stream(Script([ROLE], [both]))
        assert one.released == []
        assert tail == [ROLE, both]

    async def test_an_answer_without_content_is_all_tail(self) -> None:
        async with attempting() as one:
            tail = await one.stream(Script([ROLE], [STOP], [USAGE]))
        assert one.released == []
        assert tail == [ROLE, STOP, USAGE]

    async def test_frames_of_unknown_meaning_pass_once_the_answer_has_begun(self) -> None:
        async with attempting() as one:
            await one.stream(Script([text("a")], [UNKNOWN], [text("b")]))
        assert one.released == [(text("a"),), (UNKNOWN,), (text("b"),)]

    async def test_an_empty_batch_is_nothing(self) -> None:
        async with attempting() as one:
            assert await one.stream(Script([], [text("a")], [])) == []
        assert one.released == [(text("a"),)]

    @pytest.mark.parametrize("never_ends", [ROLE, UNKNOWN], ids=["roles", "unknown"])
    async def test_what_has_no_content_is_not_held_without_limit(self, never_ends: Frame) -> None:
        some = [never_ends] * 1000
        enough = [some] * (attempt.HELD_FRAMES // 1000)
        async with attempting() as at:
            assert len(await at.stream(Script(*enough, [text("a")], [STOP]))) == 1
        async with attempting() as at:
            failure = await failure_of(at.stream(Script(*enough, some)))
        assert failure.failure_class == "bad_response"
        assert at.released == []

    async def test_no_more_is_read_than_the_client_takes(self) -> None:
        provider = Flood()
        async with attempting() as at:
            may_take = anyio.Semaphore(0)
            at.on_release = may_take.acquire
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(at.stream, provider)
                for taken in range(5):
                    await settle()
                    assert provider.reads == taken + 1
                    may_take.release()
                tasks.cancel_scope.cancel()


class TestTally:
    async def test_it_counts_text_reasoning_and_tool_arguments_in_bytes(self) -> None:
        async with attempting() as one:
            await one.stream(
                Script(
                    [ROLE],
                    [frame(Reasoning(0, "hm"))],
                    [text("grün 🌱")],
                    [frame(ToolCallStart(0, 0, "call_1", "look")), frame(ToolArguments(0, 0, "{}"))],
                    [STOP],
                )
            )
        assert one.tally.generated_bytes == len(b"hm") + len("grün 🌱".encode()) + len(b"{}")
        assert one.tally.released_bytes == one.tally.generated_bytes
        assert one.tally.called_tools == ["look"]

    async def test_half_a_character_still_counts(self) -> None:
        async with attempting() as one:
            await one.stream(Script([text("\ud83c")]))
        assert one.tally.generated_bytes == 3

    async def test_it_keeps_finish_reasons_and_usage(self) -> None:
        async with attempting() as one:
            await one.stream(Script([text("a"), text("b", 1)], [frame(Finish(1, "length"))], [STOP], [USAGE]))
        assert one.tally.finish_reasons == ["length", "stop"]
        assert one.tally.usage == Usage(7, 3)

    async def test_content_that_leaves_with_the_closed_receipt_counts_as_released(self) -> None:
        both = frame(Text(0, "all of it"), Finish(0, "stop"))
        async with attempting() as one:
            await one.stream(Script([ROLE], [both]))
        assert (one.tally.generated_bytes, one.tally.released_bytes) == (9, 9)

    @pytest.mark.parametrize("is_one_batch", [True, False])
    async def test_of_a_broken_stream_only_what_left_counts_as_released(self, is_one_batch: bool) -> None:
        left, held = text("left"), frame(Text(0, "held"), Finish(0, "stop"))
        batches = [[left, held]] if is_one_batch else [[left], [held]]
        async with attempting() as one:
            await failure_of(one.stream(Script(*batches, ProviderError(Failure("stream_broken", "cut")))))
        assert (one.tally.generated_bytes, one.tally.released_bytes) == (8, 4)

    async def test_the_first_token_is_the_first_content_not_the_role(self) -> None:
        async with attempting() as one:
            await one.stream(Script([ROLE], 2.0, [text("a")], 3.0, [text("b")]))
        assert one.tally.first_token is not None
        assert one.tally.first_token - one.tally.started == pytest.approx(2.0)

    async def test_a_whole_answer_is_counted_when_it_is_there(self) -> None:
        body = {
            "choices": [
                {
                    "message": {"content": "grün", "tool_calls": [{"function": {"name": "look"}}]},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3},
        }
        whole = parse_completion(msgspec.json.encode(body))
        async with attempting() as one:
            assert await one.complete(Script(4.0, whole=whole)) is whole
        assert one.tally.generated_bytes == one.tally.released_bytes == 5
        assert one.tally.finish_reasons == ["stop"]
        assert one.tally.called_tools == ["look"]
        assert one.tally.usage == Usage(7, 3)
        assert one.tally.first_token is not None
        assert one.tally.first_token - one.tally.started == pytest.approx(4.0)


class TestClocks:
    @pytest.mark.parametrize(
        ("script", "clock", "after_s"),
        [
            ([LIMITLESS], "first_token", 60),
            ([[ROLE], LIMITLESS], "first_token", 60),
            ([[ROLE], 59, [ROLE], LIMITLESS], "first_token", 60),
            ([[text("a")], LIMITLESS], "idle", 30),
            ([50, [text("a")], LIMITLESS], "idle", 80),
            ([[text("a")], 29, [text("b")], LIMITLESS], "idle", 59),
            ([[text("a")], [STOP], LIMITLESS], "idle", 30),
            ([[text("a")], *([20, [text("a")]] * 40)], "total", 600),
        ],
        ids=[
            "silence",
            "a role is no token",
            "roles do not help",
            "stall",
            "late, then a stall",
            "each token winds it up",
            "stall before the end",
            "never done",
        ],
    )
    async def test_the_clock_that_runs_out_is_named(
        self, script: list[Sequence[Frame] | float], clock: str, after_s: float
    ) -> None:
        provider = Script(*script)
        async with attempting() as one:
            failure = await failure_of(one.stream(provider))
            assert one.elapsed == pytest.approx(after_s)
        assert (failure.failure_class, failure.clock) == ("timeout", clock)
        assert f"{getattr(TIMEOUTS, clock):g} seconds" in failure.message
        assert not provider.is_open, "the upstream call is ended"

    async def test_in_time_no_clock_rings(self) -> None:
        async with attempting() as one:
            tail = await one.stream(Script(59, [text("a")], 29, [text("b")], 29, [STOP]))
            assert one.elapsed == pytest.approx(117)
        assert tail == [STOP]

    async def test_clocks_of_calls_that_are_over_do_not_pile_up(self) -> None:
        async with System("test", Supervisor()) as system:
            over = []
            for _ in range(500):
                one = Attempt(system, TIMEOUTS, LIMITLESS)
                await one.stream(Script([text("a")], [STOP]))
                over.append(weakref.ref(one._clocks))
            gc.collect()
            assert sum(clocks() is not None for clocks in over) < 200, "no alarm keeps a call for its ten minutes"

    async def test_a_slow_client_does_not_use_up_the_idle_clock(self) -> None:
        async with attempting() as one:
            one.on_release = lambda: anyio.sleep(100)
            tail = await one.stream(Script([text("a")], 29, [text("b")], 29, [STOP]))
            assert one.elapsed == pytest.approx(258)
        assert tail == [STOP]

    async def test_nor_does_a_slow_client_at_the_first_token(self) -> None:
        async with attempting() as one:
            one.on_release = lambda: anyio.sleep(100)
            await one.stream(Script(59, [text("a")], 1, [STOP]))
            assert one.elapsed == pytest.approx(160)

    async def test_a_client_that_takes_nothing_ends_with_the_total_time(self) -> None:
        async with attempting() as one:
            one.on_release = anyio.sleep_forever
            failure = await failure_of(one.stream(Script([text("a")])))
            assert one.elapsed == pytest.approx(600)
        assert failure.clock == "total"

    async def test_the_idle_clock_starts_when_the_client_has_taken_what_came(self) -> None:
        async with attempting() as one:
            one.on_release = lambda: anyio.sleep(100)
            failure = await failure_of(one.stream(Script([text("a")], LIMITLESS)))
            assert one.elapsed == pytest.approx(130)
        assert failure.clock == "idle"

    async def test_an_idle_clock_longer_than_the_first_token_clock_is_kept(self) -> None:
        timeouts = Timeouts(first_token=1, idle=100, total=600)
        async with attempting(timeouts=timeouts) as one:
            tail = await one.stream(Script(0.5, [text("a")], 99, [text("b")], 99, [STOP]))
            assert one.elapsed == pytest.approx(198.5)
        assert tail == [STOP]

    @pytest.mark.parametrize("timeouts", [Timeouts(first_token=1000, idle=30, total=20)], ids=["total is the shortest"])
    async def test_the_total_time_bounds_the_others(self, timeouts: Timeouts) -> None:
        async with attempting(timeouts=timeouts) as one:
            failure = await failure_of(one.stream(Script(LIMITLESS)))
            assert one.elapsed == pytest.approx(20)
        assert failure.clock == "total"
        assert "did not finish within 20 seconds" in failure.message

    @pytest.mark.parametrize(
        "script", [[LIMITLESS], [[text("a")], LIMITLESS]], ids=["before the first token", "after it"]
    )
    async def test_the_requests_own_deadline_ends_the_request(self, script: list[Sequence[Frame] | float]) -> None:
        async with attempting(deadline=10) as one:
            with pytest.raises(DeadlineExceeded):
                await one.stream(Script(*script))
            assert one.elapsed == pytest.approx(10)

    async def test_a_deadline_that_has_passed_leaves_no_time_at_all(self) -> None:
        async with attempting(deadline=-1) as one:
            with pytest.raises(DeadlineExceeded):
                await one.stream(Script(0.001, [text("too late")]))
            assert one.elapsed < 0.001

    async def test_a_unary_call_has_the_total_time_and_no_other_clock(self) -> None:
        whole = parse_completion(b'{"choices": [{"message": {"content": "a"}}]}')
        async with attempting() as one:
            await one.complete(Script(599, whole=whole))
        async with attempting() as one:
            failure = await failure_of(one.complete(Script(LIMITLESS)))
            assert one.elapsed == pytest.approx(600)
        assert (failure.failure_class, failure.clock) == ("timeout", "total")

    async def test_a_unary_call_ends_with_the_requests_deadline(self) -> None:
        async with attempting(deadline=10) as one:
            with pytest.raises(DeadlineExceeded):
                await one.complete(Script(LIMITLESS))
            assert one.elapsed == pytest.approx(10)

    async def test_what_the_provider_raises_comes_through(self) -> None:
        for error in (ProviderError(Failure("connect", "refused")), RuntimeError("a bug")):
            async with attempting() as one:
                with pytest.raises(type(error)) as caught:
                    await one.stream(Script([ROLE], error))
                assert caught.value is error

    async def test_a_cancellation_from_outside_is_no_timeout(self) -> None:
        async with attempting() as one:
            with anyio.move_on_after(5) as outside:
                await one.stream(Script(LIMITLESS))
            assert outside.cancelled_caught
            assert one.elapsed == pytest.approx(5)

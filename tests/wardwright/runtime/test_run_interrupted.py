"""A run that is interrupted at every place where it can be.

Each test interrupts one request at its first suspension, the next at its second, and so on, until one runs to its end before its
turn comes. Whatever the interruption is: the receipt is closed exactly once, and a client that is still there has either the whole
answer or exactly one error. None takes longer than the one that was left alone: nobody waits for a time to be over.
"""

from collections.abc import Callable, Sequence

import anyio
import pytest

from tests.wardwright.runtime.providers import REFUSED, Watched, failing
from tests.wardwright.runtime.responders import RecordingResponder
from tests.wardwright.runtime.stage import Stage, stage, suspensions
from tests.wardwright.runtime.stepping import stepped
from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.chat import Completion
from wardwright.domain.errors import InternalError, WardwrightError
from wardwright.domain.stream import Frame
from wardwright.ports.provider import Provider
from wardwright.receipts.events import Closed
from wardwright.runtime.tree import ROOT, RUNS

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

ANSWER = "one two three"
CALLER = Caller(session_id=Attributed("s1", "header"))
STREAM_AND_UNARY = pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])

Interrupt = Callable[[Stage, RecordingResponder], None]


def providers() -> Sequence[Provider]:
    """A first target that always fails, so that every request goes through a fallback as well."""
    return [failing("first", REFUSED), Watched("second", ANSWER, chunk_delay_s=1.0)]


class Interrupted:
    """One request, interrupted when it suspends for the n-time; `happened` says whether it came to that, `took_s` how long it took."""

    def __init__(self, on: Stage, number: int, interrupt: Interrupt) -> None:
        self.responder = RecordingResponder()
        self.happened = False
        self.came_in_the_last_send = False
        self.took_s = 0.0
        self.error: WardwrightError | None = None
        self._on = on
        self._number = number
        self._interrupt = interrupt

    async def ask(self, *, stream: bool) -> None:
        """Make the request, and see that nothing of it is left when it has ended."""
        began = anyio.current_time()
        request = self._on.ask(self.responder, stream=stream, caller=CALLER)
        try:
            await stepped(request, self._suspends)
        except WardwrightError as error:
            self.error = error
        self.took_s = round(anyio.current_time() - began, 3)
        assert self._on.live_runs() == []
        assert self._on.leases() == 0
        assert self._on.permits() == 0
        assert not self.responder.is_watched
        assert self._on.metrics.registry.get_sample_value("wardwright_live_runs") == 0

    @property
    def closed(self) -> Closed:
        """How its receipt was closed, which happened exactly once."""
        return self._on.store.closing(self.responder.receipt_id)

    @property
    def has_whole_answer(self) -> bool:
        """Whether the client can read all of the answer and knows that it is all."""
        return self.responder.is_finished and (self.responder.text == ANSWER or self.responder.completion is not None)

    def _suspends(self, number: int) -> None:
        if number == self._number:
            self.happened = True
            self.came_in_the_last_send = self.responder.is_finishing
            self._interrupt(self._on, self.responder)


async def sweep(on: Stage, interrupt: Interrupt, *, stream: bool) -> list[Interrupted]:
    """Interrupt request after request, each one suspension later than the one before."""
    requests = []
    for number in suspensions():
        request = Interrupted(on, number, interrupt)
        await request.ask(stream=stream)
        await anyio.sleep(60)  # so that restarts are not counted together
        if not request.happened:
            assert request.error is None
            assert request.has_whole_answer
            break
        requests.append(request)
    assert len(requests) > 5
    assert max(interrupted.took_s for interrupted in requests) <= request.took_s
    return requests


def kill_run(on: Stage, responder: RecordingResponder) -> None:
    for path in on.live_runs():
        on.kill(path)


def kill(path: str) -> Interrupt:
    def interrupt(on: Stage, responder: RecordingResponder) -> None:
        ref = on.system.whereis(path)
        if ref is not None:
            ref.kill()

    return interrupt


@STREAM_AND_UNARY
@pytest.mark.parametrize("interrupt", [kill_run, kill(RUNS)], ids=["the run", "its supervisor"])
async def test_killed_it_tells_its_client_once_and_closes_its_receipt_once(interrupt: Interrupt, stream: bool) -> None:
    async with stage(*providers()) as on:
        requests = await sweep(on, interrupt, stream=stream)

        told = [request for request in requests if request.error is not None]
        assert len(told) > 3
        for request in requests:
            assert request.has_whole_answer == (request.error is None)
            if not request.came_in_the_last_send:
                assert request.closed.status == ("completed" if request.error is None else "internal_error")
        for request in told:
            assert isinstance(request.error, InternalError)
            assert "stopped this request (killed)" in request.error.message


@STREAM_AND_UNARY
async def test_left_by_its_client_it_closes_its_receipt_once_and_says_nothing(stream: bool) -> None:
    async with stage(*providers()) as on:
        requests = await sweep(on, lambda on, responder: responder.leave(), stream=stream)

        for request in requests:
            assert request.error is None
            assert request.closed.status in ("client_cancelled", "completed")
            assert request.has_whole_answer <= (request.closed.status == "completed")
        assert requests[2].closed.status == "client_cancelled"


@STREAM_AND_UNARY
async def test_cancelled_from_outside_it_closes_its_receipt_once_before_it_gives_way(stream: bool) -> None:
    async with stage(*providers()) as on:
        for number in suspensions():
            scope = anyio.CancelScope()

            def cancel(on: Stage, responder: RecordingResponder, scope: anyio.CancelScope = scope) -> None:
                scope.cancel()

            request = Interrupted(on, number, cancel)
            with scope:
                await request.ask(stream=stream)
            if not request.happened:
                break
            if request.responder.head is None:
                assert on.store.all_receipts() == [], "it had not been accepted yet"
                continue
            assert on.live_runs() == []
            assert on.leases() == 0
            assert on.permits() == 0
            assert request.error is None
            assert request.closed.status in ("interrupted", "completed")
            assert not request.responder.is_finished or request.closed.status == "completed"
        assert number > 5


@pytest.mark.parametrize(
    ("path", "stream"),
    [
        (f"{ROOT}/storage", True),
        (f"{ROOT}/storage", False),
        (f"{ROOT}/catalog", True),
        (f"{ROOT}/providers", True),
        (f"{ROOT}/providers/second", True),
        (f"{ROOT}/providers/second", False),
        (f"{ROOT}/models", True),
        (f"{ROOT}/models/test-model", True),
        (f"{ROOT}/models/test-model/model", True),
        (f"{ROOT}/models/test-model/sessions", True),
        (f"{ROOT}/models/test-model/sessions/s1", True),
        (f"{ROOT}/edge", True),
    ],
)
async def test_the_death_of_any_neighbour_costs_no_answer_and_no_entry(path: str, stream: bool) -> None:
    async with stage(*providers()) as on:
        for request in await sweep(on, kill(path), stream=stream):
            assert request.error is None
            assert request.has_whole_answer
            assert (request.closed.status, request.closed.attempts) == ("completed", 2)
            assert len(on.store.events(request.responder.receipt_id)) == 6


@STREAM_AND_UNARY
async def test_killed_together_with_the_storage_it_still_closes_its_receipt_once(stream: bool) -> None:
    def interrupt(on: Stage, responder: RecordingResponder) -> None:
        kill(f"{ROOT}/storage")(on, responder)
        kill_run(on, responder)

    async with stage(*providers()) as on:
        for request in await sweep(on, interrupt, stream=stream):
            assert request.has_whole_answer == (request.error is None)
            if not request.came_in_the_last_send:
                assert request.closed.status == ("completed" if request.error is None else "internal_error")


@STREAM_AND_UNARY
async def test_killed_twice_it_tells_its_client_once(stream: bool) -> None:
    def interrupt(on: Stage, responder: RecordingResponder) -> None:
        kill_run(on, responder)
        kill(RUNS)(on, responder)
        responder.leave()

    async with stage(*providers()) as on:
        for request in await sweep(on, interrupt, stream=stream):
            assert request.closed.status in ("internal_error", "client_cancelled", "completed")


@STREAM_AND_UNARY
async def test_a_kill_that_comes_when_the_answer_is_delivered_changes_nothing(stream: bool) -> None:
    class LateKill(RecordingResponder):
        async def finish(self, frames: Sequence[Frame]) -> None:
            await super().finish(frames)
            kill_run(on, self)

        async def answer(self, completion: Completion) -> None:
            await super().answer(completion)
            kill_run(on, self)

    async with stage(*providers()) as on:
        responder = LateKill()
        await on.ask(responder, stream=stream)
        assert responder.is_finished
        assert on.live_runs() == []
        assert on.store.closing(responder.receipt_id).status == "completed"

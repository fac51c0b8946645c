"""The load generator: so many connections, each asking again as soon as it has its answer.

`python -m tests.benchmarks.load PLAN` takes a `LoadPlan` as JSON. It prints a line `begin` when the measured window opens and `end`
when it closes, so that whoever listens can read CPU counters at both, and then a `LoadResult` as JSON. Answers under way when the
window closes are waited for, so that the next measurement finds a quiet server.

Connections begin evenly spread over the warm-up. With a warm-up as long as a stream, a window of any length then sees every
part of a stream equally often.

Connections that ask again at once come to move in step where the server takes the same time for all: what they ask arrives in one heap,
and an answer's time is mostly its place in the heap. A pause of random length, the same from run to run, keeps them apart.
"""

import asyncio
import gc
import sys
import time
from random import Random
from statistics import quantiles
from typing import cast
from urllib.parse import urlsplit

import msgspec
import uvloop

from tests.benchmarks.answer_reader import AnswerReader, BadAnswer

BEGIN, END = "begin", "end"
_FINISH_WITHIN_S = 10.0


class LoadPlan(msgspec.Struct, frozen=True):
    """What to ask of whom. `events_per_answer` is None when answers are not streamed.

    Between an answer and the next question a connection pauses for a time drawn between zero and `pause_s`.
    """

    url: str
    body: str
    concurrency: int
    warmup_s: float
    seconds: float
    events_per_answer: int | None = None
    pause_s: float = 0.0


class Percentiles(msgspec.Struct, frozen=True):
    p50: float
    p99: float

    @classmethod
    def of_seconds(cls, samples: list[float]) -> "Percentiles":
        """In milliseconds; of no samples at all, zero."""
        if len(samples) < 2:
            only = samples[0] * 1000 if samples else 0.0
            return cls(only, only)
        cuts = quantiles(samples, n=100, method="inclusive")
        return cls(p50=cuts[49] * 1000, p99=cuts[98] * 1000)


class LoadResult(msgspec.Struct, frozen=True):
    """What happened within the window; times in milliseconds. `first_byte` is that of the answer's body."""

    answers: int
    events: int
    bad: int
    reconnects: int
    latency: Percentiles
    first_byte: Percentiles
    first_problem: str | None = None


class LoadRun:
    """All connections of one run, and what they have counted."""

    def __init__(self, plan: LoadPlan) -> None:
        self.plan = plan
        self.request = request_of(plan)
        self._address = _address(plan)
        self.is_over = False
        self._chance = Random(1)
        self._is_counting = False
        self._answers = self._events = self._bad = self._reconnects = 0
        self._latencies: list[float] = []
        self._first_bytes: list[float] = []
        self._first_problem: str | None = None
        self._connecting: set[asyncio.Task[None]] = set()
        self._open = 0
        self._all_closed = asyncio.Event()

    async def measure(self) -> LoadResult:
        """Warm up, measure, let the last answers finish."""
        plan, loop = self.plan, asyncio.get_running_loop()
        for number in range(plan.concurrency):
            self._open += 1
            loop.call_later(plan.warmup_s * number / plan.concurrency, self._connect)
        await asyncio.sleep(plan.warmup_s)
        self._is_counting = True
        _say(BEGIN)
        await asyncio.sleep(plan.seconds)
        self._is_counting = False
        _say(END)
        self.is_over = True
        try:
            await asyncio.wait_for(self._all_closed.wait(), _FINISH_WITHIN_S)
        except TimeoutError:
            self.note_bad(f"{self._open} answers did not end within {_FINISH_WITHIN_S:g} seconds")
        return LoadResult(
            answers=self._answers,
            events=self._events,
            bad=self._bad,
            reconnects=self._reconnects,
            latency=Percentiles.of_seconds(self._latencies),
            first_byte=Percentiles.of_seconds(self._first_bytes),
            first_problem=self._first_problem,
        )

    def pause_s(self) -> float:
        """How long the next pause is."""
        return self._chance.uniform(0, self.plan.pause_s)

    def note_events(self, count: int) -> None:
        if self._is_counting:
            self._events += count

    def note_answer(self, latency: float, first_byte: float, problem: str | None) -> None:
        if problem is not None:
            self.note_bad(problem)
        elif self._is_counting:
            self._answers += 1
            self._latencies.append(latency)
            self._first_bytes.append(first_byte)

    def note_bad(self, problem: str) -> None:
        """Counted outside the window as well: a run with a bad answer proves nothing."""
        self._bad += 1
        self._first_problem = self._first_problem or problem

    def note_closed(self) -> None:
        """A connection has ended; while the run lasts another one takes its place."""
        if self.is_over:
            self._leave()
        else:
            self._reconnects += 1
            self._connect()

    def _connect(self) -> None:
        task = asyncio.create_task(self._open_connection())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _open_connection(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: Client(self), *self._address)
        except OSError as error:
            self.note_bad(f"cannot connect: {error}")
            self._leave()

    def _leave(self) -> None:
        self._open -= 1
        if not self._open:
            self._all_closed.set()


class Client(asyncio.Protocol):
    """One connection: asks, reads the answer, asks again."""

    def __init__(self, run: LoadRun) -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._answer = AnswerReader()
        self._is_waiting = False
        self._asked_at = 0.0
        self._first_byte_at: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports are registered nowhere
        self._ask(self._transport)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        now = time.perf_counter()
        before = self._answer.events
        try:
            is_complete = self._answer.feed(data)
        except (BadAnswer, ValueError) as error:
            self._is_waiting = False
            self._run.note_bad(str(error))
            self._transport.abort()
            return
        self._run.note_events(self._answer.events - before)
        if self._first_byte_at is None and self._answer.has_content:
            self._first_byte_at = now
        if is_complete:
            self._finish(self._transport, now)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_waiting and self._answer.status:
            self._run.note_bad(f"cut off within an answer: {exc or 'closed by the server'}")
        self._run.note_closed()

    def _ask(self, transport: asyncio.Transport) -> None:
        self._answer = AnswerReader()
        self._is_waiting = True
        self._first_byte_at = None
        self._asked_at = time.perf_counter()
        transport.write(self._run.request)

    def _finish(self, transport: asyncio.Transport, now: float) -> None:
        self._is_waiting = False
        problem = self._answer.problem(expected_events=self._run.plan.events_per_answer)
        self._run.note_answer(now - self._asked_at, (self._first_byte_at or now) - self._asked_at, problem)
        if self._run.plan.pause_s:
            asyncio.get_running_loop().call_later(self._run.pause_s(), self._go_on, transport)
        else:
            self._go_on(transport)

    def _go_on(self, transport: asyncio.Transport) -> None:
        if self._run.is_over:
            transport.close()
        elif not transport.is_closing():
            self._ask(transport)


def _address(plan: LoadPlan) -> tuple[str, int]:
    parts = urlsplit(plan.url)
    if parts.hostname is None or parts.port is None:
        raise ValueError(f"{plan.url} names no host and port")
    return parts.hostname, parts.port


def request_of(plan: LoadPlan) -> bytes:
    """The bytes of one request."""
    parts = urlsplit(plan.url)
    body = plan.body.encode()
    head = (
        f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\naccept: */*\r\n"
        f"user-agent: benchmark\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(plan: LoadPlan) -> None:
    gc.disable()  # a pause of the client would be seen as one of the server
    _say(msgspec.json.encode(await LoadRun(plan).measure()).decode())


if __name__ == "__main__":
    uvloop.run(main(msgspec.json.decode(sys.argv[1], type=LoadPlan)))

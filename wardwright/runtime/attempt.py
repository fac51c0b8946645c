"""One upstream call, whole or streamed: its clocks, what it brought, and the hold before the first content.

Nothing leaves for the client before the first real content has come, so that a failure until then can still become another
attempt or an honest status code; and nothing final leaves before the receipt is closed, so that no client has a finished answer
without its receipt. Both keep only frames that carry no content or end a choice, and no more than `HELD_FRAMES` and `HELD_BYTES` of them;
what rules hold has a bound of its own.

Four clocks watch a call: connect (the adapter's), first token, idle gap, and the request's total. The idle clock runs only while
the gateway waits for the provider: a slow client costs its provider no time.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from types import TracebackType
from typing import Literal, Self

import anyio
import msgspec

from supervisors import Callback, System
from wardwright.config.settings import Timeouts
from wardwright.domain.chat import Completion, Usage
from wardwright.domain.errors import Clock, DeadlineExceeded, Failure, ProviderError
from wardwright.domain.stream import TEXTS, Finish, Frame, ToolCallStart, UsageReport
from wardwright.ports.provider import Provider, UpstreamCall
from wardwright.runtime.governed_answer import GovernedAnswer
from wardwright.runtime.late_release import LateRelease, beside

OUT_OF_TIME = "the request's time is used up"
HELD_FRAMES = 2**18
HELD_BYTES = 2**24
"""How much of a streamed answer may wait for its first content or its end: so many events, and so many bytes of the stream."""

Release = Callable[[Sequence[Frame]], Awaitable[None]]


class Tally(msgspec.Struct):
    """What one attempt has brought and released so far. Bytes are UTF-8 bytes of text, reasoning and tool arguments.

    `client_s` is how long the provider has waited for the client.
    """

    started: float
    first_token: float | None = None
    generated_bytes: int = 0
    released_bytes: int = 0
    has_released: bool = False
    client_s: float = 0.0
    finish_reasons: list[str] = msgspec.field(default_factory=list)
    usage: Usage | None = None
    called_tools: list[str] = msgspec.field(default_factory=list)

    def observe(self, frames: Sequence[Frame], now: float) -> None:
        """Take in frames from the provider."""
        for frame in frames:
            for event in frame.events:
                if isinstance(event, TEXTS):
                    self.generated_bytes += _utf8_length(event.text)
                elif isinstance(event, Finish):
                    self.finish_reasons.append(event.reason)
                elif isinstance(event, UsageReport):
                    self.usage = event.usage
                elif isinstance(event, ToolCallStart):
                    self.called_tools.append(event.name)
        if self.first_token is None and any(frame.is_content for frame in frames):
            self.first_token = now


class Clocks:
    """The clocks of one upstream call, as a cancel scope around it.

    All of them share one alarm of the system's timer. Moving a clock forward only notes when it would now run out; the alarm looks
    at that when it rings, and rings again later if need be. So a chunk costs no timer.
    """

    def __init__(self, system: System, timeouts: Timeouts, *, deadline: float) -> None:
        self._system = system
        self._timeouts = timeouts
        self._deadline = deadline
        self._limit = min(deadline, system.now() + timeouts.total)
        self._due = self._limit
        self._name: Clock = "total"
        self._scope = anyio.CancelScope()
        self._alarm: Callback | None = None
        self._rings_at = math.inf

    def __enter__(self) -> Self:
        self._scope.__enter__()
        self._arm()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if self._alarm is not None:
            self._alarm.cancel()
        return bool(self._scope.__exit__(kind, error, traceback))

    @property
    def system(self) -> System:
        """Whose timer all clocks go by."""
        return self._system

    def now(self) -> float:
        """The time by which all clocks are read."""
        return self._system.now()

    def wait_for_first_token(self) -> None:
        """From now on the provider has its time to send a first token."""
        self._watch("first_token", self._system.now() + self._timeouts.first_token)

    def wait_for_more(self, hold_ends: float | None = None, *, silent_s: float = 0.0) -> None:
        """From now on the provider has the rest of its time to send anything more, or what is held its time to be let go."""
        self._watch("idle", self._system.now() + self._timeouts.idle - silent_s)
        if hold_ends is not None and hold_ends < self._due:
            self._due = hold_ends
            if self._due < self._rings_at:
                self._arm()

    def wait_for_client(self) -> None:
        """While the client takes what was released only the total clock runs."""
        self._name, self._due = "total", self._limit

    def fault(self) -> DeadlineExceeded | ProviderError:
        """What it means that a clock has run out: the request's own ends the request, a provider's only the attempt."""
        if self._due >= self._deadline:
            return DeadlineExceeded(OUT_OF_TIME)
        seconds = {
            "total": self._timeouts.total,
            "first_token": self._timeouts.first_token,
            "idle": self._timeouts.idle,
        }[self._name]
        what = {"total": "finish", "first_token": "send a first token", "idle": "send anything more"}[self._name]
        message = f"the provider did not {what} within {seconds:g} seconds"
        return ProviderError(Failure("timeout", message, clock=self._name))

    def _watch(self, name: Literal["first_token", "idle"], due: float) -> None:
        if due < self._limit:
            self._name, self._due = name, due
        else:
            self._name, self._due = "total", self._limit
        if self._due < self._rings_at:
            self._arm()

    def _arm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._rings_at = self._due
        self._alarm = self._system.call_after(self._due - self._system.now(), self._ring)

    def _ring(self) -> None:
        if self._system.now() < self._due:
            self._arm()
        else:
            self._scope.cancel()


async def complete(
    provider: Provider, call: UpstreamCall, tally: Tally, clocks: Clocks, governed: GovernedAnswer | None = None
) -> Completion:
    """Make a unary call; it has the total time, whenever its first byte comes.

    What rules made of the answer is returned, and may be given unless `governed` says that they have ended it.

    Raises: ProviderError, DeadlineExceeded.
    """
    with clocks:
        completion = await provider.complete(call)
        tally.first_token = clocks.now()
        tally.generated_bytes = tally.released_bytes = completion.text_bytes
        tally.finish_reasons.extend(completion.finish_reasons)
        tally.usage = completion.usage
        tally.called_tools.extend(completion.called_tools)
        if governed is not None:
            completion = governed.judge(completion)
            tally.generated_bytes, tally.released_bytes = governed.generated_bytes, governed.released_bytes
        return completion
    raise clocks.fault()


async def stream(
    provider: Provider,
    call: UpstreamCall,
    tally: Tally,
    clocks: Clocks,
    release: Release,
    governed: GovernedAnswer | None = None,
) -> list[Frame]:
    """Make a streamed call; content goes to `release` as it comes, in batches, under the client's backpressure.

    An answer that its rules end is left at once, and its call with it: `governed` says so then.

    Returns: the frames that may leave only once the receipt is closed (finish reasons, usage).
    Raises: ProviderError, DeadlineExceeded.
    """
    delivery = _Delivery(tally, clocks, release, governed)
    with clocks:
        clocks.wait_for_first_token()
        async with provider.stream(call) as batches, delivery.turns() as turn:
            async for batch in batches:
                if turn is None:
                    await delivery.take(batch)
                else:
                    async with turn:
                        await delivery.take(batch)
                if governed is not None and governed.is_stopped:
                    return []
        if governed is None:
            tally.released_bytes = tally.generated_bytes
            return delivery.held.frames  # it leaves with the closed receipt, like a whole answer
        tail = [*delivery.held.frames, *governed.finish(clocks.now())]
        if governed.is_stopped:
            return []
        tally.released_bytes = governed.released_bytes
        return tail
    if governed is not None:
        governed.look_at(clocks.now())
        if governed.is_stopped:
            return []
    raise clocks.fault()


class _Delivery:
    """The way of one streamed answer to its client."""

    def __init__(self, tally: Tally, clocks: Clocks, release: Release, governed: GovernedAnswer | None) -> None:
        self.held = _Held()
        self._tally = tally
        self._clocks = clocks
        self._release = release
        self._governed = governed
        self._listening_since = 0.0

    def turns(self) -> AbstractAsyncContextManager[LateRelease | None]:
        """Where text may leave for its age, whoever looks at what is held does so in turn with an alarm; else nobody else does."""
        governed = self._governed
        if governed is None or not governed.may_open:
            return nullcontext()
        return beside(LateRelease(self._clocks.system, governed.overdue_at, partial(self._open_overdue, governed)))

    async def take(self, batch: Sequence[Frame]) -> None:
        """Take in what a read has brought, and release what may leave."""
        governed, now = self._governed, self._clocks.now()
        self._tally.observe(batch, now)
        ready = self._ready(batch if governed is None else governed.feed(batch, now))
        if ready:
            await self._send(ready, now)
        if self._tally.first_token is not None:
            self._listen(0.0)

    async def _open_overdue(self, governed: GovernedAnswer) -> bool:
        """Release text whose time has come; the provider is not given any more of it for that."""
        now = self._clocks.now()
        silent_s = now - self._listening_since
        ready = self._ready(governed.open_overdue(now))
        if ready:
            await self._send(ready, now)
        self._listen(silent_s)
        return not governed.is_stopped

    def _ready(self, leaving: Sequence[Frame]) -> Sequence[Frame]:
        """What of the frames that the rules let go of may leave now."""
        if self._governed is not None and self._governed.is_stopped:
            return ()
        if self.held or any(frame.is_final or not frame.is_content for frame in leaving):
            return self.held.let_pass(leaving, begun=self._tally.has_released)
        return leaving

    async def _send(self, ready: Sequence[Frame], now: float) -> None:
        tally, clocks, governed, held = self._tally, self._clocks, self._governed, self.held
        clocks.wait_for_client()
        try:
            await self._release(ready)
        finally:
            tally.client_s += clocks.now() - now
        tally.has_released = True
        cleared = tally.generated_bytes if governed is None else governed.released_bytes
        tally.released_bytes = cleared - (_content_bytes(held.frames) if held else 0)
        if governed is not None:
            governed.forgive(clocks.now() - now)

    def _listen(self, silent_s: float) -> None:
        """Watch the provider again, who has been silent for so long."""
        governed, clocks = self._governed, self._clocks
        if governed is None:
            clocks.wait_for_more()
        elif not governed.may_open:
            clocks.wait_for_more(governed.overdue_at())
        else:
            clocks.wait_for_more(silent_s=silent_s)
            self._listening_since = clocks.now() - silent_s


class _Held:
    """Frames that wait: those before the first content for that, final ones and what belongs to them for the receipt."""

    def __init__(self) -> None:
        self._opening: list[Frame] = []
        self._final: list[Frame] = []
        self._count = 0  # of all that had to wait, ever: what opens an answer waits once
        self._size = 0

    def __bool__(self) -> bool:
        return bool(self._opening or self._final)

    @property
    def frames(self) -> list[Frame]:
        """All of them, in order."""
        return self._opening + self._final

    def let_pass(self, frames: Sequence[Frame], *, begun: bool) -> Sequence[Frame]:
        """Take in more frames; returns those that may leave, held ones first.

        Raises: ProviderError when too much would have to be held.
        """
        ready: list[Frame] = []
        for frame in frames:
            # A choice that has ended keeps no other waiting; what says nothing may say more of the end.
            if frame.is_final or (self._final and not frame.events):
                self._hold(self._final, [frame])
            else:
                ready.append(frame)
        if not (begun or any(frame.is_content for frame in ready)):
            self._hold(self._opening, ready)
            return ()
        opening, self._opening = self._opening, []
        return [*opening, *ready] if opening else ready

    def _hold(self, where: list[Frame], frames: Sequence[Frame]) -> None:
        where.extend(frames)
        self._count += len(frames)
        self._size += sum(sum(map(len, frame.fields.values())) for frame in frames)
        if self._count > HELD_FRAMES or self._size > HELD_BYTES:
            message = f"more would have to be held of the stream than {HELD_FRAMES} events or {HELD_BYTES} bytes"
            raise ProviderError(Failure("bad_response", message))


def _content_bytes(frames: Sequence[Frame]) -> int:
    events = (event for frame in frames for event in frame.events)
    return sum(_utf8_length(event.text) for event in events if isinstance(event, TEXTS))


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))

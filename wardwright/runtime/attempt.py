"""One upstream call, whole or streamed: its clocks, what it brought, and the hold before the first content.

Nothing leaves for the client before the first real content has come, so that a failure until then can still become another
attempt or an honest status code; and nothing final leaves before the receipt is closed, so that no client has a finished answer
without its receipt. Both holds are bounded: they keep only frames that carry no content.

Four clocks watch a call: connect (the adapter's), first token, idle gap, and the request's total. The idle clock runs only while
the gateway waits for the provider: a slow client costs its provider no time.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import anyio

from wardwright.config.settings import Timeouts
from wardwright.domain.chat import Completion, Usage
from wardwright.domain.errors import Clock, DeadlineExceeded, Failure, ProviderError
from wardwright.domain.stream import Finish, Frame, Reasoning, Text, ToolArguments, UsageReport
from wardwright.ports.provider import Provider, UpstreamCall

Release = Callable[[Sequence[Frame]], Awaitable[None]]


@dataclass(slots=True)
class Tally:
    """What one attempt has brought and released so far. Bytes are UTF-8 bytes of text, reasoning and tool arguments."""

    started: float
    first_token: float | None = None
    generated_bytes: int = 0
    released_bytes: int = 0
    has_released: bool = False
    finish_reasons: list[str] = field(default_factory=list)
    usage: Usage | None = None

    def observe(self, frames: Sequence[Frame], now: float) -> int:
        """Take in frames from the provider; returns their content bytes."""
        before = self.generated_bytes
        for frame in frames:
            for event in frame.events:
                if isinstance(event, Text | Reasoning | ToolArguments):
                    self.generated_bytes += _utf8_length(event.text)
                elif isinstance(event, Finish):
                    self.finish_reasons.append(event.reason)
                elif isinstance(event, UsageReport):
                    self.usage = event.usage
        if self.first_token is None and any(frame.is_content for frame in frames):
            self.first_token = now
        return self.generated_bytes - before


async def complete(
    provider: Provider, call: UpstreamCall, tally: Tally, *, timeouts: Timeouts, deadline: float
) -> Completion:
    """Make a unary call within the provider's total time and the request's deadline (on the runtime's clock).

    Raises: ProviderError, DeadlineExceeded.
    """
    own_limit = anyio.current_time() + timeouts.total
    with anyio.CancelScope(deadline=min(own_limit, deadline)) as clock:
        completion = await provider.complete(call)
        tally.first_token = anyio.current_time()
        tally.generated_bytes = completion.text_bytes
        tally.finish_reasons.extend(completion.finish_reasons)
        tally.usage = completion.usage
        return completion
    raise _timed_out("total", timeouts, own_limit=own_limit, deadline=deadline, scope=clock)


async def stream(
    provider: Provider, call: UpstreamCall, tally: Tally, *, timeouts: Timeouts, deadline: float, release: Release
) -> list[Frame]:
    """Make a streamed call; content goes to `release` as it comes, in batches, under the client's backpressure.

    Returns: the frames that may leave only once the receipt is closed (finish reasons, usage).
    Raises: ProviderError, DeadlineExceeded.
    """
    own_limit = anyio.current_time() + timeouts.total
    limit = min(own_limit, deadline)
    waiting_for: Clock = "first_token"
    held: list[Frame] = []
    with anyio.CancelScope(deadline=min(limit, tally.started + timeouts.first_token)) as clock:
        async with provider.stream(call) as batches:
            async for batch in batches:
                now = anyio.current_time()
                content_bytes = tally.observe(batch, now)
                if held or any(frame.is_final or not frame.is_content for frame in batch):
                    held.extend(batch)
                    ready, held = _split(held, begun=tally.has_released)
                else:
                    ready = batch
                if ready:
                    clock.deadline = limit
                    await release(ready)
                    tally.has_released = True
                    tally.released_bytes += content_bytes
                    now = anyio.current_time()
                if tally.first_token is not None:
                    waiting_for = "idle"
                    clock.deadline = min(limit, now + timeouts.idle)
        return held
    raise _timed_out(waiting_for, timeouts, own_limit=own_limit, deadline=deadline, scope=clock)


def _split(frames: list[Frame], *, begun: bool) -> tuple[Sequence[Frame], list[Frame]]:
    """Part what may leave now from what must wait.

    Final frames and all after them wait for the receipt; frames before the first content wait for it.
    """
    end = next((i for i, frame in enumerate(frames) if frame.is_final), len(frames))
    has_content = begun or any(frame.is_content for frame in frames[:end])
    return (frames[:end], frames[end:]) if has_content else ((), frames)


def _timed_out(
    clock: Clock, timeouts: Timeouts, *, own_limit: float, deadline: float, scope: anyio.CancelScope
) -> DeadlineExceeded | ProviderError:
    """Name the clock that ran out: the request's own deadline ends the request, a provider's clock only the attempt."""
    if scope.deadline >= deadline:
        return DeadlineExceeded("the request's time is used up")
    name: Clock = "total" if scope.deadline >= own_limit else clock
    seconds = {"total": timeouts.total, "first_token": timeouts.first_token, "idle": timeouts.idle}[name]
    what = {"total": "finish", "first_token": "send a first token", "idle": "send anything more"}[name]
    return ProviderError(Failure("timeout", f"the provider did not {what} within {seconds:g} seconds", clock=name))


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))

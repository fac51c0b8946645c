"""A run interrupted at every place where it can be: its receipt is closed once, and a client that is there is told once.

Each test interrupts the first request at its first suspension, the second at its second, and so on, until one runs to its end
before its turn comes.
"""

from collections.abc import Callable, Sequence
from functools import partial

import anyio
import pytest

from tests.wardwright.runtime.responders import RecordingResponder
from tests.wardwright.runtime.stage import InlineThreads, Stage, stage, suspensions
from tests.wardwright.runtime.stepping import stepped
from wardwright.domain.errors import Failure, InternalError, WardwrightError
from wardwright.ports.provider import Provider
from wardwright.providers.canned import CannedProvider, ScriptedFailure
from wardwright.receipts.events import Closed
from wardwright.runtime.tree import RUNS, STORAGE

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

REFUSED = Failure("connect", "nobody listens")

Interrupt = Callable[[RecordingResponder], None]


class AlwaysRefusing(CannedProvider):
    """Fails every call, so that every request falls back."""

    def __init__(self) -> None:
        super().__init__("first", failures=[ScriptedFailure(REFUSED)] * 1000)


def providers() -> Sequence[Provider]:
    return [AlwaysRefusing(), CannedProvider("second", ["one two three"], chunk_delay_s=1.0)]


async def interrupted_at(
    number: int, on: Stage, responder: RecordingResponder, interrupt: Interrupt, *, stream: bool
) -> tuple[bool, WardwrightError | None]:
    """Ask, and interrupt at one suspension: whether it came to that, and what the client is told."""
    reached = False

    def on_suspend(suspension: int) -> None:
        nonlocal reached
        if suspension == number and responder.head is not None:
            reached = True
            interrupt(responder)

    try:
        await stepped(on.ask(responder, stream=stream), on_suspend)
    except WardwrightError as error:
        return reached, error
    return reached, None


def assert_settled(on: Stage, responder: RecordingResponder) -> Closed:
    """Nothing of a request is left, and its receipt is closed exactly once."""
    assert on.live_runs() == []
    assert on.leases() == 0
    assert on.metrics.registry.get_sample_value("wardwright_live_runs") == 0
    return on.store.closing(responder.receipt_id)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "unary"])
async def test_killed_anywhere_the_client_is_told_once_and_the_receipt_is_closed_once(stream: bool) -> None:
    async with stage(*providers()) as on:
        for number in suspensions():
            responder = RecordingResponder()
            kill = lambda told: on.kill(f"{RUNS}/{told.receipt_id}") if on.live_runs() else None  # noqa: E731
            reached, error = await interrupted_at(number, on, responder, kill, stream=stream)
            closed = assert_settled(on, responder)
            print(number, reached, error, closed.status, responder.is_finished, responder.text)
            if not reached:
                break

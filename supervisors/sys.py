"""Looking into a running actor, and holding it: what Erlang's `sys` does.

    from supervisors import sys as actors

    await actors.suspend(ref)
    print(await actors.get_state(ref))
    await actors.resume(ref)

Every actor can be asked, supervisors included, and needs to do nothing for it. What is asked here passes the messages
in the mailbox but never interrupts a handler: an actor that is stuck in one answers none of this. `ActorRef.info` does
not ask the actor, and works on that one too.

All of these functions fail like a call:

Raises:
    ActorDown: the actor is dead, or died before it answered; or nobody holds the name (`NotRunning`).
    CallTimeout: it did not come to it in time.
    CallingSelf, CallCycle: the actor is the caller, or waits for it.
    NoMailbox: it is an adopted task.
Cancellation: cancel point; on cancel a request that was not begun is dropped.
"""

from collections.abc import Callable
from typing import Any

from supervisors._errands import GetState, GetStatistics, GetStatus, Hook, Log, ReplaceState, Resume, Suspend, Trace
from supervisors._ref import DEFAULT_TIMEOUT, ActorRef, NamedRef, hold, run_errand
from supervisors.events import Traced
from supervisors.inspect import ActorStatus, Statistics

__all__ = ["get_state", "get_status", "log", "replace_state", "resume", "statistics", "suspend", "trace"]


async def suspend(ref: ActorRef | NamedRef, timeout: float = DEFAULT_TIMEOUT) -> None:
    """Hold an actor: it looks at no message until `resume`, and its mailbox fills as its bound allows.

    It still answers the functions of this module, and can still be stopped and killed. A suspended supervisor restarts
    nobody and starts nobody; what happened meanwhile it deals with on `resume`. Suspending twice is the same as once.
    """
    if not hold(ref, held=True):
        await run_errand(ref, Suspend(), timeout)


async def resume(ref: ActorRef | NamedRef, timeout: float = DEFAULT_TIMEOUT) -> None:
    """Let a suspended actor go on, with the messages that have come meanwhile in their order."""
    if not hold(ref, held=False):
        await run_errand(ref, Resume(), timeout)


async def get_state(ref: ActorRef | NamedRef, timeout: float = DEFAULT_TIMEOUT) -> Any:
    """Have the state of an actor: what its `get_state` returns.

    By default that is a copy of its attributes, one level deep. It is not redacted: do not log it.
    """
    return await run_errand(ref, GetState(), timeout)


async def replace_state(
    ref: ActorRef | NamedRef, change: Callable[[Any], Any], timeout: float = DEFAULT_TIMEOUT
) -> Any:
    """Replace the state of an actor by `change(state)`; the new state is returned.

    `change` runs in the actor's task and must not mutate what it is given. If it raises, the state stays as it was and
    the caller gets the exception; the actor notices nothing.
    """
    return await run_errand(ref, ReplaceState(change), timeout)


async def get_status(ref: ActorRef | NamedRef, timeout: float = DEFAULT_TIMEOUT) -> ActorStatus:
    """Have an actor described: redacted, so fit for operators."""
    return await run_errand(ref, GetStatus(), timeout)


async def trace(ref: ActorRef | NamedRef, to: bool | Hook, timeout: float = DEFAULT_TIMEOUT) -> None:
    """Have every message that an actor takes up, and every answer its handlers return, told as a `Traced`.

    Args:
        ref: the actor; this incarnation only.
        to: a function, which is called within the actor's task and taken off if it raises; True for the observer of the
            System; False to end it. There is one at a time.
        timeout: seconds to wait.
    """
    await run_errand(ref, Trace(to), timeout)


async def log(
    ref: ActorRef | NamedRef, keep: int | None = None, timeout: float = DEFAULT_TIMEOUT
) -> tuple[Traced, ...]:
    """Read the last messages of an actor, oldest first; with `keep`, have it keep that many from now on.

    An actor keeps none until it is told to, and 0 tells it to keep none again.

    Raises:
        ValueError: `keep` is less than 0.
    """
    if keep is not None and keep < 0:
        raise ValueError(f"keep: expected a number from 0 or None, got {keep!r}")
    return await run_errand(ref, Log(keep), timeout)


async def statistics(ref: ActorRef | NamedRef, timeout: float = DEFAULT_TIMEOUT) -> Statistics:
    """Count the messages of an actor since its start."""
    return await run_errand(ref, GetStatistics(), timeout)

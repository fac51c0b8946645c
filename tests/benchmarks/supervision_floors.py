"""The least a figure of the supervision library could cost: the same thing made of what the event loop has, unsupervised.

Nothing here is restarted, named, watched, bounded or reported. Times are CPU seconds of this process.
"""

import asyncio
import gc
import tracemalloc
from collections import deque
from collections.abc import Awaitable, Callable
from time import process_time
from typing import TypeAlias

import anyio
import trio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

_TIMEOUT_S = 5.0

Exchange: TypeAlias = Callable[[], Awaitable[int]]


async def calls(count: int) -> float:
    """Questions to another task, one after the other."""
    async with anyio.create_task_group() as tasks:
        ask = _futures() if anyio.get_cancelled_exc_class() is asyncio.CancelledError else _parking()
        exchange = await ask(tasks)
        began = process_time()
        for _ in range(count):
            await exchange()
        taken = process_time() - began
        tasks.cancel_scope.cancel()
    return taken


def _futures() -> Callable[[TaskGroup], Awaitable[Exchange]]:
    """asyncio: futures, and the loop's own timer for the deadline."""
    loop = asyncio.get_running_loop()
    questions: deque[asyncio.Future[int]] = deque()
    sleeper: asyncio.Future[None] = loop.create_future()

    async def serve() -> None:
        nonlocal sleeper
        while True:
            while questions:
                answer = questions.popleft()
                if not answer.done():
                    answer.set_result(1)
            sleeper = loop.create_future()
            await sleeper

    async def exchange() -> int:
        answer: asyncio.Future[int] = loop.create_future()
        questions.append(answer)
        if not sleeper.done():
            sleeper.set_result(None)
        alarm = loop.call_later(_TIMEOUT_S, answer.cancel)
        try:
            return await answer
        finally:
            alarm.cancel()

    async def start(tasks: TaskGroup) -> Exchange:
        tasks.start_soon(serve)
        await exchange()
        return exchange

    return start


def _parking() -> Callable[[TaskGroup], Awaitable[Exchange]]:
    """trio: tasks that park as trio's own primitives do; a scope with a deadline would cost more than all of it."""
    questions: deque[trio.lowlevel.Task] = deque()
    server: trio.lowlevel.Task | None = None

    def give_up(raise_cancel: object) -> trio.lowlevel.Abort:
        return trio.lowlevel.Abort.SUCCEEDED

    async def serve() -> None:
        nonlocal server
        while True:
            while questions:
                trio.lowlevel.reschedule(questions.popleft())
            server = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(give_up)

    async def exchange() -> int:
        nonlocal server
        questions.append(trio.lowlevel.current_task())
        if server is not None:
            trio.lowlevel.reschedule(server)
            server = None
        await trio.lowlevel.wait_task_rescheduled(give_up)
        return 1

    async def start(tasks: TaskGroup) -> Exchange:
        tasks.start_soon(serve)
        await exchange()
        return exchange

    return start


async def appends(count: int) -> float:
    """Messages put into a deque."""
    queue: deque[object] = deque()
    append = queue.append
    message = object()
    began = process_time()
    for _ in range(count):
        append(message)
    return process_time() - began


async def appends_and_handling(count: int) -> float:
    """Messages put into a deque, and taken out by a loop that awaits a handler for each."""
    queue: deque[object] = deque()
    message = object()

    async def handle(message: object) -> None:
        pass

    began = process_time()
    for _ in range(count):
        queue.append(message)
    while queue:
        await handle(queue.popleft())
    return process_time() - began


async def spawns(count: int) -> float:
    """Tasks, each awaited until it has begun."""
    async with anyio.create_task_group() as tasks:

        async def body(up: anyio.Event) -> None:
            up.set()
            await anyio.sleep_forever()

        began = process_time()
        for _ in range(count):
            up = anyio.Event()
            tasks.start_soon(body, up)
            await up.wait()
        taken = process_time() - began
        tasks.cancel_scope.cancel()
    return taken


async def stops(count: int) -> float:
    """Tasks ended all at once, by their scope."""
    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(anyio.sleep_forever)
        await anyio.wait_all_tasks_blocked()
        began = process_time()
        tasks.cancel_scope.cancel()
    return process_time() - began


async def crashes(count: int) -> float:
    """Tasks that raise, each followed by another."""
    async with anyio.create_task_group() as tasks:

        async def body(over: anyio.Event) -> None:
            try:
                await checkpoint()
                raise RuntimeError("crash")
            except RuntimeError:
                over.set()

        began = process_time()
        for _ in range(count):
            over = anyio.Event()
            tasks.start_soon(body, over)
            await over.wait()
    return process_time() - began


async def idle(count: int) -> float:
    """Tasks that wait for a queue of their own; bytes of one."""
    queues: list[deque[object]] = []

    async def body() -> None:
        queues.append(deque())
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        before = allocated()
        for _ in range(count):
            tasks.start_soon(body)
        await anyio.wait_all_tasks_blocked()
        taken = allocated() - before
        tasks.cancel_scope.cancel()
    return taken / count


async def records(count: int) -> float:
    """Names and a number for each, in a dictionary; bytes of one."""
    before = allocated()
    known = {f"bench/crowd/worker-{number}": 1000 + number for number in range(count)}
    return (allocated() - before) / len(known)


def allocated() -> int:
    """Bytes that Python has allocated and that something still needs."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]

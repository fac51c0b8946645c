"""A worker does one thing after the other in a thread of its own, and whoever asked hears of it in theirs."""

import gc
import threading
import weakref

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from wardwright.runtime.worker import Worker

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

NAME = "worker under test"


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == NAME]


class Mistake(Exception):
    """Made by the work."""


async def test_work_is_done_in_one_thread_and_its_value_comes_back() -> None:
    before = threads()  # of other tests, whose workers are on their way out
    worker = Worker(NAME)
    assert set(threads()) <= set(before)
    found = [await worker.run(threading.current_thread) for _ in range(3)]
    assert found == [thread for thread in threads() if thread not in before] * 3
    assert found[0] is not threading.current_thread()


async def test_what_it_raises_is_raised_where_it_was_asked_for() -> None:
    worker = Worker(NAME)

    def fail() -> None:
        raise Mistake("as it happens")

    with pytest.raises(Mistake, match="as it happens"):
        await worker.run(fail)
    assert await worker.run(lambda: "goes on") == "goes on"


async def test_pieces_are_done_in_the_order_in_which_they_were_handed_over() -> None:
    worker, done = Worker(NAME), list[int]()

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(worker.run, lambda number=number: done.append(number))
            await anyio.lowlevel.checkpoint()
    assert done == list(range(20))


async def test_a_cancellation_waits_for_the_work_that_is_under_way() -> None:
    worker, begun, may_end = Worker(NAME), threading.Event(), threading.Event()
    order: list[str] = []

    def work() -> None:
        begun.set()
        assert may_end.wait(60)
        order.append("work done")

    async def ask() -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            try:
                await worker.run(work)
            finally:
                order.append("asker goes")

    scopes: list[anyio.CancelScope] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.to_thread.run_sync(begun.wait, 60)
        scopes[0].cancel()
        await anyio.wait_all_tasks_blocked()
        assert order == []
        may_end.set()
    assert order == ["work done", "asker goes"]
    assert scopes[0].cancelled_caught


async def test_one_that_is_not_patient_leaves_the_work_to_its_thread_when_it_is_cancelled() -> None:
    worker, begun, may_end, all_done = Worker(NAME), threading.Event(), threading.Event(), threading.Event()
    order: list[str] = []

    def work() -> None:
        begun.set()
        assert may_end.wait(60)
        order.append("work done")

    async def give_up() -> None:
        await anyio.to_thread.run_sync(begun.wait, 60)
        worker.is_patient = False
        scope.cancel()

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(give_up)
            await worker.run(work)
    order.append("asker has gone")
    worker.post(all_done.set)
    may_end.set()
    await anyio.to_thread.run_sync(all_done.wait, 60)
    assert order == ["asker has gone", "work done"]


async def test_its_thread_ends_with_it() -> None:
    worker = Worker(NAME)
    [thread] = [await worker.run(threading.current_thread)]
    del worker
    gc.collect()
    await anyio.to_thread.run_sync(thread.join, 20)
    assert not thread.is_alive()


async def test_nothing_of_a_piece_of_work_is_kept() -> None:
    class Thing:
        pass

    worker, gone = Worker(NAME), threading.Event()

    def make() -> Thing:
        thing = Thing()
        weak.append(weakref.finalize(thing, gone.set))
        return thing

    weak: list[object] = []
    await worker.run(make)
    await worker.run(lambda: None)
    gc.collect()
    assert gone.is_set()

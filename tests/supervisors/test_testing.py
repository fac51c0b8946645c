"""Virtual time and `settle` keep their promises."""

import socket
import time

import anyio
import pytest

from supervisors import Progress, Supervisor, System
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import puppet

pytestmark = pytest.mark.anyio


async def test_an_hour_costs_nothing_and_ends_on_time() -> None:
    began, real = anyio.current_time(), time.monotonic()
    await anyio.sleep(3600)
    assert anyio.current_time() - began == pytest.approx(3600)
    assert time.monotonic() - real < 600


async def test_sleepers_wake_in_order() -> None:
    woken: list[float] = []

    async def sleeper(seconds: float) -> None:
        await anyio.sleep(seconds)
        woken.append(anyio.current_time())

    async with anyio.create_task_group() as tasks:
        for seconds in (30, 10, 20):
            tasks.start_soon(sleeper, seconds)
    assert woken == [pytest.approx(at) for at in (10, 20, 30)]


async def test_a_timeout_fires_only_for_what_is_stuck() -> None:
    with anyio.fail_after(0.001):
        for _ in range(1000):
            await anyio.lowlevel.checkpoint()
    with anyio.move_on_after(1000) as scope:
        await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_settle_runs_everything_and_lets_no_time_pass() -> None:
    steps: list[int] = []

    async def work() -> None:
        for step in range(50):
            await anyio.lowlevel.checkpoint()
            steps.append(step)
        await anyio.sleep(1)
        steps.append(-1)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
        await settle()
        assert len(steps) == 50
        assert anyio.current_time() == 0
        tasks.cancel_scope.cancel()


async def test_several_may_settle_at_once() -> None:
    settled: list[str] = []

    async def wait(name: str) -> None:
        await settle()
        settled.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait, "a")
        tasks.start_soon(wait, "b")
    assert sorted(settled) == ["a", "b"]


async def test_settling_can_be_cancelled() -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(settle)
        tasks.cancel_scope.cancel()
    await settle()


async def test_events_are_kept_in_order_and_by_kind() -> None:
    log = EventLog()
    async with System("app", Supervisor([puppet("a"), puppet("b")]), on_event=log):
        assert [event.child.path for event in log.of(Progress)] == ["app/a", "app/b"]
        assert len(log) == 2
        log.clear()
        assert log.events == []


@pytest.mark.real_time
async def test_real_time_backends_talk_to_sockets_and_threads() -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:

        async def serve(stream: anyio.abc.ByteStream) -> None:
            async with stream:
                await stream.send(await stream.receive())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve)
            port = listener.extra(anyio.abc.SocketAttribute.local_port)

            def talk() -> bytes:
                with socket.create_connection(("127.0.0.1", port)) as connection:
                    connection.sendall(b"hello")
                    return connection.recv(16)

            assert await anyio.to_thread.run_sync(talk) == b"hello"
            await settle()
            tasks.cancel_scope.cancel()


@pytest.mark.real_time
async def test_real_time_passes_by_itself() -> None:
    real = time.monotonic()
    await anyio.sleep(0.02)
    assert time.monotonic() - real >= 0.019

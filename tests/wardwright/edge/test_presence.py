"""Noticing that a client has left."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from supervisors import Supervisor, System
from supervisors.testing import settle
from tests.wardwright.edge.asgi import Client
from wardwright.edge.http import Message
from wardwright.edge.presence import ClientWatch, Presence

pytestmark = pytest.mark.anyio


class Watched(Client):
    """A client that knows how many wait to hear from it."""

    def __init__(self) -> None:
        super().__init__()
        self.listeners = 0

    async def receive(self) -> Message:
        self.listeners += 1
        try:
            return await super().receive()
        finally:
            self.listeners -= 1


class Watch:
    """A watch over one client, and what it noticed."""

    def __init__(self, presence: Presence) -> None:
        self.client = Watched()
        self.noticed: list[float] = []
        self.watch: ClientWatch = presence.watch(self.client.receive)

    def start(self) -> None:
        self.watch.start(lambda: self.noticed.append(anyio.current_time()))


@asynccontextmanager
async def watching() -> AsyncIterator[Watch]:
    async with anyio.create_task_group() as tasks, System("test", Supervisor()) as system:
        watch = Watch(Presence(tasks, system.call_after))
        yield watch
        tasks.cancel_scope.cancel()


async def test_a_departure_is_noticed_when_it_happens() -> None:
    async with watching() as one:
        one.start()
        await anyio.sleep(5)
        assert one.noticed == []
        one.client.leave()
        await settle()
        assert one.noticed == [5.0]


async def test_one_that_left_at_once_is_noticed_a_moment_later() -> None:
    async with watching() as one:
        one.client.leave()
        one.start()
        await anyio.sleep(1)
        assert len(one.noticed) == 1
        assert one.noticed[0] <= 0.25


async def test_it_is_told_once() -> None:
    async with watching() as one:
        one.start()
        await anyio.sleep(5)
        one.client.leave()
        await anyio.sleep(5)
        assert len(one.noticed) == 1


async def test_a_short_request_costs_no_task() -> None:
    async with watching() as one:
        one.start()
        await settle()
        assert one.client.listeners == 0
        one.watch.stop()
        await anyio.sleep(5)
        assert one.client.listeners == 0


async def test_after_the_end_nobody_listens_and_nothing_is_told() -> None:
    async with watching() as one:
        one.start()
        await anyio.sleep(5)
        assert one.client.listeners == 1
        one.watch.stop()
        one.watch.stop()
        await settle()
        assert one.client.listeners == 0
        one.client.leave()
        await settle()
        assert one.noticed == []


async def test_a_departure_in_the_moment_of_the_end_is_not_told() -> None:
    async with watching() as one:
        one.start()
        await anyio.sleep(5)
        one.client.leave()
        one.watch.stop()
        await settle()
        assert one.noticed == []


async def test_a_watch_that_was_never_started_can_be_stopped() -> None:
    async with watching() as one:
        one.watch.stop()


async def test_what_a_client_says_after_its_request_is_passed_over() -> None:
    async with watching() as one:
        one.client._body.extend([b"more", b"and more"])
        one.start()
        await anyio.sleep(5)
        assert one.noticed == []
        assert one.client.listeners == 1

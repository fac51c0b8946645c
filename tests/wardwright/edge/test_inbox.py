"""The inbox of a request: in order, bounded, and the news that the client has gone always fits in."""

import anyio
import pytest

from supervisors.testing import settle
from wardwright.edge.http import Message
from wardwright.edge.inbox import Inbox

pytestmark = pytest.mark.anyio

GONE: Message = {"type": "http.disconnect"}


def body(number: int, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": b"%d" % number, "more_body": more}


async def fill(inbox: Inbox) -> int:
    """Put until there is no room; returns how many messages went in."""
    count = 0
    while True:
        with anyio.move_on_after(1) as waiting:
            await inbox.put(body(count))
        count += 1
        if waiting.cancelled_caught:
            return count


async def test_messages_come_out_in_order() -> None:
    inbox = Inbox()
    await inbox.put(body(0))
    await inbox.put(body(1, more=False))
    assert [await inbox.receive(), await inbox.receive()] == [body(0), body(1, more=False)]


async def test_a_reader_waits_for_the_next_one() -> None:
    inbox, received = Inbox(), list[Message]()

    async def read() -> None:
        received.append(await inbox.receive())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await settle()
        assert received == []
        await inbox.put(body(0))
    assert received == [body(0)]


async def test_a_body_that_is_far_ahead_waits_for_its_reader() -> None:
    inbox = Inbox()
    count = await fill(inbox)
    assert 2 < count < 100
    for number in range(count):
        assert await inbox.receive() == body(number)
    await inbox.put(body(count))


async def test_the_news_that_the_client_has_gone_never_waits_and_ends_every_wait() -> None:
    inbox = Inbox()
    await fill(inbox)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(inbox.put, body(1000))
        await settle()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await inbox.put(GONE)
            told = True
        assert told


async def test_it_comes_after_the_body_and_is_told_again_and_again() -> None:
    inbox = Inbox()
    await inbox.put(body(0, more=False))
    await inbox.put(GONE)
    assert [await inbox.receive() for _ in range(4)] == [body(0, more=False), GONE, GONE, GONE]


async def test_a_request_is_whole_when_its_body_is() -> None:
    inbox = Inbox()
    assert not inbox.is_whole
    await inbox.put(body(0))
    await inbox.put(GONE)
    assert not inbox.is_whole, "the client left in the middle of it"
    await inbox.put(body(1, more=False))
    assert inbox.is_whole


class Watch:
    """Counts how often somebody was told that the client has gone."""

    def __init__(self) -> None:
        self.told = 0

    def __call__(self) -> None:
        self.told += 1


async def test_who_watches_is_told_at_once_that_the_client_has_gone_and_only_once() -> None:
    inbox, watch = Inbox(), Watch()
    await inbox.put(body(0, more=False))
    inbox.watch(watch)
    assert watch.told == 0
    await inbox.put(GONE)
    await inbox.put(GONE)
    assert watch.told == 1


async def test_who_comes_to_watch_after_the_client_has_gone_is_told_too() -> None:
    inbox, watch = Inbox(), Watch()
    await inbox.put(GONE)
    inbox.watch(watch)
    assert watch.told == 1


async def test_who_no_longer_watches_is_not_told() -> None:
    inbox, watch = Inbox(), Watch()
    inbox.watch(watch)
    inbox.unwatch()
    inbox.unwatch()
    await inbox.put(GONE)
    assert watch.told == 0

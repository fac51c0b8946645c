"""Comments in silent streams: who gets them, how often, and who does not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import anyio
import pytest
from msgspec.structs import replace

from supervisors.testing import settle
from tests.wardwright.edge.asgi import Client, Site, site
from tests.wardwright.runtime.providers import BROKEN, Scripted, Watched
from tests.wardwright.runtime.stage import cascade
from wardwright.domain.policy import StreamPolicy
from wardwright.edge.pings import Pings
from wardwright.providers.canned import ScriptedFailure

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

EVERY_S = 10.0
PING = b": ping\n\n"


class Line:
    """A stream that notes when it is pinged."""

    def __init__(self) -> None:
        self.has_said_something = True
        self.is_being_pinged = False
        self.pinged_at: list[float] = []
        self.may_send = anyio.Event()
        self.may_send.set()

    async def ping(self) -> None:
        self.pinged_at.append(anyio.current_time())
        await self.may_send.wait()


@asynccontextmanager
async def running(pings: Pings) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pings.run)
        await settle()
        yield
        tasks.cancel_scope.cancel()


class TestClock:
    async def test_a_silent_stream_is_never_silent_for_longer(self) -> None:
        pings, line = Pings(EVERY_S), Line()
        async with running(pings):
            await anyio.sleep(1)
            began = anyio.current_time()
            pings.begin(line)
            await anyio.sleep(100)
        spoken = [began, *line.pinged_at]
        gaps = [later - earlier for earlier, later in pairwise(spoken)]
        assert len(gaps) == 10
        assert max(gaps) <= EVERY_S
        assert min(gaps) > EVERY_S / 2 - 1

    async def test_one_that_speaks_is_left_alone(self) -> None:
        pings, line = Pings(EVERY_S), Line()
        pings.begin(line)
        async with running(pings):
            for _ in range(30):
                await anyio.sleep(4)
                line.has_said_something = True
        assert line.pinged_at == []

    async def test_one_that_has_ended_is_pinged_no_more(self) -> None:
        pings, line = Pings(EVERY_S), Line()
        pings.begin(line)
        async with running(pings):
            await anyio.sleep(EVERY_S + 1)
            pings.end(line)
            pings.end(line)
            await anyio.sleep(100)
        assert len(line.pinged_at) == 1
        assert pings.streams == 0

    async def test_one_that_takes_no_ping_gets_no_other_and_holds_up_nobody(self) -> None:
        pings, stuck, line = Pings(EVERY_S), Line(), Line()
        stuck.may_send = anyio.Event()
        pings.begin(stuck)
        pings.begin(line)
        async with running(pings):
            await anyio.sleep(6 * EVERY_S + 1)
            assert (len(stuck.pinged_at), len(line.pinged_at)) == (1, 6)
            stuck.may_send.set()
            await anyio.sleep(EVERY_S)
            assert len(stuck.pinged_at) == 2

    async def test_of_nothing_there_is_none(self) -> None:
        pings, line = Pings(0), Line()
        pings.begin(line)
        async with running(pings):
            await anyio.sleep(1000)
        assert line.pinged_at == []


@asynccontextmanager
async def pinging(at: Site) -> AsyncIterator[Pings]:
    async with running(at.app.pings):
        yield at.app.pings


def pieces(client: Client) -> list[str]:
    """What was sent, write by write: `ping`, `data` or both."""
    return ["ping" if chunk == PING else "data" for chunk in client.chunks if chunk]


class TestAnswers:
    async def test_a_stream_is_pinged_between_its_events_and_stays_the_answer_it_is(self) -> None:
        provider = Scripted("first", ["one ", "two ", "three"], delay_s=23.0)
        async with site(provider, ping_s=EVERY_S) as at, pinging(at) as pings:
            client = await at.chat(stream=True)
            assert pings.streams == 0
            await anyio.sleep(100)
        sent = pieces(client)
        assert sent[0] == sent[-1] == "data"
        assert sent.count("ping") == 4, "two in each of the silences behind the first word"
        rest = b"".join(chunk for chunk in client.chunks if chunk != PING)
        assert PING not in rest
        assert rest.endswith(b"data: [DONE]\n\n")
        assert rest.count(b"data: ") == len(rest.split(b"\n\n")) - 1

    async def test_nothing_is_sent_before_there_is_an_answer(self) -> None:
        held = replace(cascade("first"), stream_policy=StreamPolicy("full_buffer"))
        provider = Scripted("first", ["one ", "two ", "three"], delay_s=23.0)
        async with site(provider, definition=held, ping_s=EVERY_S) as at, pinging(at):
            client = await at.chat(stream=True)
        assert set(pieces(client)) == {"data"}
        assert client.events[-1] == "[DONE]"

    async def test_a_whole_answer_has_none(self) -> None:
        async with site(Scripted("first", ["one"], delay_s=60.0), ping_s=EVERY_S) as at, pinging(at) as pings:
            client = await at.chat()
            assert client.json["choices"][0]["message"]["content"] == "one"
            assert pings.streams == 0

    async def test_one_that_breaks_ends_with_its_error_and_nothing_behind_it(self) -> None:
        provider = Watched("first", chunk_delay_s=23.0, failures=[ScriptedFailure(BROKEN, 3)] * 9)
        async with site(provider, ping_s=EVERY_S) as at, pinging(at) as pings:
            client = await at.chat(stream=True)
            assert pings.streams == 0
            await anyio.sleep(100)
        assert pieces(client)[-1] == "data"
        assert "error" in client.events[-1]
        assert "ping" in pieces(client)

    async def test_a_client_that_leaves_takes_its_pings_along(self) -> None:
        async with site(Scripted("first", ["one ", "two"], delay_s=28.0), ping_s=EVERY_S) as at, pinging(at) as pings:
            client = Client()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: at.chat(client, stream=True))
                await anyio.sleep(41)
                assert pings.streams == 1
                client.leave()
            assert pings.streams == 0

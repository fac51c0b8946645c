"""The edge actor: one generation of the HTTP server accepts at any time, and a stop is in order."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from supervisors import ActorRef, ChildSpec, CrashReport, Supervisor, System
from supervisors.testing import EventLog, settle
from wardwright.runtime.edge import Edge

pytestmark = pytest.mark.anyio


class Server:
    """A generation that ends when a test says so."""

    def __init__(self) -> None:
        self.is_retired = False
        self._ended = anyio.Event()
        self._error: Exception | None = None

    async def serving(self) -> None:
        await self._ended.wait()
        if self._error is not None:
            raise self._error

    def retire(self) -> None:
        self.is_retired = True

    def end(self, error: Exception | None = None) -> None:
        self._error = error
        self._ended.set()


class Door:
    """A system with an edge, the generations it started, and the order of what happened at the end."""

    def __init__(self) -> None:
        self.servers: list[Server] = []
        self.story: list[str] = []
        self.running_beside = 0
        self.events = EventLog()
        self.system = System("test", Supervisor([ChildSpec("edge", self._edge)]), on_event=self.events)

    @property
    def actor(self) -> ActorRef:
        ref = self.system.whereis("test/edge")
        assert ref is not None
        return ref

    def _edge(self) -> Edge:
        return Edge(start=self._start, drain=self._drain, url="http://127.0.0.1:8791", beside=self._beside)

    async def _beside(self) -> None:
        self.running_beside += 1
        try:
            await anyio.sleep_forever()
        finally:
            self.running_beside -= 1

    def _start(self) -> Server:
        self.servers.append(Server())
        return self.servers[-1]

    async def _drain(self) -> None:
        self.story.append("retired" if self.servers[-1].is_retired else "still accepting")
        await anyio.sleep(3)
        self.story.append("drained")


@asynccontextmanager
async def door() -> AsyncIterator[Door]:
    made = Door()
    async with made.system:
        yield made


async def test_it_starts_one_generation_and_says_where() -> None:
    async with door() as edge:
        assert len(edge.servers) == 1
        assert not edge.servers[0].is_retired
        assert edge.actor.info().details == {"url": "http://127.0.0.1:8791"}


async def test_on_an_orderly_stop_it_accepts_no_more_and_then_drains() -> None:
    async with door() as edge:
        pass
    assert edge.story == ["retired", "drained"]
    assert len(edge.servers) == 1
    assert edge.events.of(CrashReport) == []


async def test_what_runs_beside_it_runs_once_and_as_long_as_it_does() -> None:
    async with door() as edge:
        await settle()
        assert edge.running_beside == 1
        edge.actor.kill()
        await settle()
        assert edge.running_beside == 1
    assert edge.running_beside == 0


async def test_a_killed_edge_retires_its_generation_and_the_next_accepts_at_once_without_draining() -> None:
    async with door() as edge:
        edge.actor.kill()
        await settle()
        assert [server.is_retired for server in edge.servers] == [True, False]
        assert edge.story == []


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda server: server.end(), "crashed: EdgeClosed: the HTTP server stopped by itself"),
        (lambda server: server.end(OSError("accept failed")), "crashed: OSError: accept failed"),
    ],
    ids=["ended", "failed"],
)
async def test_a_server_that_ends_by_itself_is_a_crash_and_is_replaced(
    end: Callable[[Server], None], reason: str
) -> None:
    async with door() as edge:
        end(edge.servers[0])
        await settle()
        assert [str(report.reason) for report in edge.events.of(CrashReport)] == [reason]
        assert [server.is_retired for server in edge.servers] == [True, False]
        assert edge.story == [], "a crash cuts nobody, so there is nobody to wait for"

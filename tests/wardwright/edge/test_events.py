"""`GET /admin/events`: topics, resuming, pings, who is admitted, and how a stream ends."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest

from tests.wardwright.edge.asgi import Client, Site, site
from tests.wardwright.runtime.providers import Watched
from wardwright.edge.events import GATHER_S, PING_S
from wardwright.edge.http import Message
from wardwright.runtime.bus import QUEUED
from wardwright.runtime.tree import EVENTS, WATCHERS
from wardwright.runtime.visible import TOPICS, KeyRevoked, ModelRetired

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]


class Watcher(Client):
    """A client that keeps what it has read; while it is `stuck` it takes nothing."""

    def __init__(self) -> None:
        super().__init__(b"")
        self.may_read = anyio.Event()
        self.may_read.set()

    def stop_reading(self) -> None:
        self.may_read = anyio.Event()

    async def send(self, message: Message) -> None:
        await self.may_read.wait()
        await super().send(message)

    @property
    def blocks(self) -> list[dict[str, str]]:
        """Everything between blank lines, by field; a comment has no field."""
        return [
            dict(line.partition(": ")[::2] for line in block.split("\n")) for block in self.text.split("\n\n") if block
        ]

    @property
    def told(self) -> list[tuple[str, Any]]:
        """Type and data of each event."""
        return [(block["event"], msgspec.json.decode(block["data"])) for block in self.blocks if "data" in block]

    @property
    def types(self) -> list[str]:
        return [kind for kind, _ in self.told]

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def last_id(self) -> str:
        return [block["id"] for block in self.blocks if "id" in block][-1]


@asynccontextmanager
async def watching(
    at: Site, query: str = "", *, headers: Mapping[str, str] | None = None, method: str = "GET"
) -> AsyncIterator[Watcher]:
    """A watcher in the midst of its stream; it leaves in the end, and its stream must end then."""
    watcher = Watcher()

    async def watch() -> None:
        await at.request(method, "/admin/events", client=watcher, query=query, headers=headers)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await a_moment()
            yield watcher
            watcher.leave()
            watcher.may_read.set()


async def a_moment() -> None:
    """Longer than streams gather what they tell next."""
    await anyio.sleep(2 * GATHER_S)


def members(at: Site) -> list[str]:
    node = at.on.system.tree().find(EVENTS)
    assert node is not None
    return [child.path for child in node.children]


def revoke(at: Site, *numbers: int) -> None:
    for number in numbers:
        at.on.bus.tell(KeyRevoked(key_id=f"key_{number}"))


def keys(watcher: Watcher) -> list[Any]:
    """The keys it was told of, and the numbers that are lost."""
    return [data.get("key_id", data.get("count")) for _, data in watcher.told]


class TestWatching:
    async def test_a_request_is_told_as_it_goes_with_a_name_an_id_and_its_facts(self) -> None:
        async with site(Watched()) as at, watching(at) as watcher:
            assert watcher.status == 200
            assert watcher.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert watcher.headers["cache-control"] == "no-cache"
            answer = await at.chat()
            await a_moment()
            assert watcher.types == ["receipt.opened", "attempt.started", "attempt.finished", "receipt.closed"]
            closed = watcher.told[-1][1]
            assert closed["receipt_id"] == answer.headers["x-wardwright-receipt-id"]
            assert closed["topic"] == "receipts"
            assert closed["status"] == "completed"
            assert [block["id"] for block in watcher.blocks if "data" in block] == [e["id"] for _, e in watcher.told]

    async def test_it_says_at_once_when_to_come_back_and_from_where(self) -> None:
        async with site(Watched()) as at, watching(at) as watcher:
            [opening] = watcher.blocks
            assert opening == {"retry": "2000", "id": watcher.last_id}
            revoke(at, 1)
            async with watching(at, headers={"last-event-id": opening["id"]}) as again:
                assert keys(again) == ["key_1"]

    @pytest.mark.parametrize(
        "query",
        [
            "topic=keys&topic=models",
            "topic=keys,models",
            "topic=models,%20keys",
            "topic=keys&topic=models&last_event_id=",
        ],
    )
    async def test_topics_are_asked_for_in_either_way(self, query: str) -> None:
        async with site(Watched()) as at, watching(at, query) as watcher:
            await at.chat()
            revoke(at, 1)
            at.on.bus.tell(ModelRetired(model_id="m", source="admin"))
            await a_moment()
            assert watcher.types == ["key.revoked", "model.retired"]

    @pytest.mark.parametrize("query", ["", "topic=", "topic=,"])
    async def test_none_means_all(self, query: str) -> None:
        async with site(Watched()) as at, watching(at, query):
            [member] = members(at)
            assert at.on.details(member)["topics"] == list(TOPICS)

    async def test_an_unknown_parameter_is_refused_with_those_there_are(self) -> None:
        async with site(Watched()) as at:
            client = await at.get("/admin/events", query="topics=keys")
            assert (client.status, client.json["error"]["param"]) == (400, "topics")
            assert client.json["error"]["message"] == (
                "there is no parameter 'topics' (did you mean 'topic'?); expected one of topic, last_event_id"
            )
            client = await at.get("/admin/events", query=f"topic=keys&{'x' * 1000}=1")
            assert (client.status, client.json["error"]["param"]) == (400, "x" * 50)

    async def test_an_unknown_topic_is_refused_with_those_there_are(self) -> None:
        async with site(Watched()) as at:
            client = await at.get("/admin/events", query="topic=keys,recipts")
            assert (client.status, client.json["error"]["param"]) == (400, "topic")
            assert client.json["error"]["message"] == (
                f"there is no topic 'recipts' (did you mean 'receipts'?); expected one of {', '.join(TOPICS)}"
            )
            assert members(at) == []

    async def test_a_silent_stream_is_pinged(self) -> None:
        async with site(Watched()) as at, watching(at, "topic=keys") as watcher:
            await anyio.sleep(2 * PING_S + 1)
            assert watcher.text.count(": ping\n\n") == 2
            revoke(at, 1)
            await a_moment()
            assert keys(watcher) == ["key_1"]

    async def test_of_a_head_there_is_the_head(self) -> None:
        async with site(Watched()) as at:
            client = await at.request("HEAD", "/admin/events")
            assert (client.status, client.is_complete) == (200, True)
            assert members(at) == []

    async def test_the_first_event_is_told_at_once_and_those_that_follow_closely_together(self) -> None:
        async with site(Watched()) as at, watching(at, "topic=keys") as watcher:
            opening = len(watcher.chunks)
            for number in range(10):
                revoke(at, number)
                await anyio.sleep(GATHER_S / 20)
            await a_moment()
            assert keys(watcher) == [f"key_{number}" for number in range(10)]
            assert [chunk.count(b"data:") for chunk in watcher.chunks[opening:]] == [1, 9]


class TestComingBack:
    async def test_one_goes_on_behind_the_last_event_it_was_given(self) -> None:
        async with site(Watched()) as at:
            async with watching(at, "topic=keys") as watcher:
                revoke(at, 1, 2)
                await a_moment()
                ids = [data["id"] for _, data in watcher.told]
            revoke(at, 3)
            for id, expected in zip(ids, (["key_2", "key_3"], ["key_3"]), strict=True):
                async with watching(at, "topic=keys", headers={"last-event-id": id}) as again:
                    assert keys(again) == expected
                async with watching(at, f"topic=keys&last_event_id={id}") as again:
                    assert keys(again) == expected

    async def test_the_header_counts_before_the_parameter(self) -> None:
        async with site(Watched()) as at:
            async with watching(at) as watcher:
                start = watcher.last_id
                revoke(at, 1)
                await a_moment()
                end = watcher.last_id
            async with watching(at, f"last_event_id={end}", headers={"last-event-id": start}) as again:
                assert keys(again) == ["key_1"]

    async def test_an_id_of_before_a_restart_is_told_so_and_goes_on_from_now(self) -> None:
        foreign = "00000000-" + ".".join(["1"] * len(TOPICS))
        async with site(Watched()) as at, watching(at, headers={"last-event-id": foreign}) as watcher:
            assert watcher.told == [("lost", {"type": "lost", "count": None})]
            assert watcher.last_id != foreign
            revoke(at, 1)
            await a_moment()
            assert keys(watcher) == [None, "key_1"]


class TestSlowWatchers:
    async def test_one_that_does_not_read_loses_the_oldest_and_is_told_how_many(self) -> None:
        async with site(Watched()) as at, watching(at, "topic=keys") as slow, watching(at, "topic=keys") as other:
            slow.stop_reading()
            revoke(at, 0)
            await a_moment()
            for first in range(1, QUEUED + 6, 50):
                revoke(at, *range(first, min(first + 50, QUEUED + 6)))
                await a_moment()
            assert keys(other) == [f"key_{number}" for number in range(QUEUED + 6)], "the others get all"
            slow.may_read.set()
            await a_moment()
            assert keys(slow) == ["key_0", 5, *(f"key_{number}" for number in range(6, QUEUED + 6))]


class TestHowStreamsEnd:
    async def test_with_the_client(self) -> None:
        async with site(Watched()) as at:
            async with watching(at):
                assert len(members(at)) == at.on.bus.watchers == 1
                assert "wardwright_event_watchers 1.0" in (await at.get("/metrics")).body.decode()
            assert (members(at), at.on.bus.watchers) == ([], 0)

    async def test_with_the_daemon_at_once_even_those_that_do_not_read(self) -> None:
        async with site(Watched()) as at, watching(at) as watcher, watching(at, "topic=keys") as stuck:
            stuck.stop_reading()
            revoke(at, 1)
            await a_moment()
            began = anyio.current_time()
            await at.on.system.shutdown()
            await a_moment()
            assert anyio.current_time() - began < 1
            assert watcher.is_complete
            assert watcher.text.endswith(": the gateway is stopping\n\n")
            refused = await at.get("/admin/events")
            assert (refused.status, refused.json["error"]["code"]) == (503, "actor_restarting")

    async def test_with_the_branch_they_are_counted_in_and_nothing_is_lost_by_that(self) -> None:
        async with site(Watched()) as at:
            async with watching(at, "topic=keys") as watcher:
                revoke(at, 1)
                await a_moment()
                at.on.kill(EVENTS)
                await a_moment()
                assert at.on.bus.watchers == 0
                revoke(at, 2)
            async with watching(at, "topic=keys", headers={"last-event-id": watcher.last_id}) as again:
                assert keys(again) == ["key_2"]

    async def test_one_may_be_cut_off_by_itself(self) -> None:
        async with site(Watched()) as at, watching(at) as first, watching(at, "topic=actors") as second:
            at.on.kill(members(at)[0])
            await a_moment()
            revoke(at, 1)
            await a_moment()
            assert at.on.bus.watchers == 1
            assert keys(first) == []
            assert second.types == ["actor.ended"]


async def test_only_so_many_may_watch() -> None:
    async with site(Watched()) as at:
        watchers = [Watcher() for _ in range(WATCHERS)]
        async with anyio.create_task_group() as tasks:
            for watcher in watchers:
                tasks.start_soon(_watch, at, watcher)
            await a_moment()
            refused = await at.get("/admin/events")
            assert (refused.status, refused.json["error"]["code"]) == (503, "overloaded")
            assert refused.headers["retry-after"] == "5"
            watchers[0].leave()
            await a_moment()
            async with watching(at) as admitted:
                assert admitted.status == 200
            for watcher in watchers:
                watcher.leave()
    assert at.on.bus.watchers == 0


async def _watch(at: Site, watcher: Watcher) -> None:
    await at.get("/admin/events", client=watcher)

"""The shape of the tree where it is not simply all parts: model servers, and how much a crash takes along."""

from functools import partial

import pytest

from supervisors import Actor, System
from supervisors.testing import EventLog, settle
from tests.wardwright.runtime.stage import board_of, cascade
from wardwright.ports.server import ServerSpec
from wardwright.runtime.admin import walk
from wardwright.runtime.roster import ProviderPart, ProviderRoster, ServerPart
from wardwright.runtime.tree import PROVIDERS, ROOT, build_tree, model_path, server_path, sessions_path

pytestmark = pytest.mark.anyio


class Part(Actor):
    """A part that writes down when it starts and stops."""

    def __init__(self, name: str, story: list[str]) -> None:
        self._name = name
        self._story = story

    async def init(self) -> None:
        self._story.append(f"{self._name} starts")

    async def terminate(self, reason: object) -> None:
        self._story.append(f"{self._name} stops")


def system(story: list[str], events: EventLog | None = None) -> System:
    def part(name: str) -> partial[Part]:
        return partial(Part, name, story)

    tree = build_tree(
        checkpointer=part("storage"),
        catalog=part("catalog"),
        providers=ProviderRoster(
            [
                ProviderPart(
                    "local", part("local"), ServerPart(ServerSpec("local", lambda port: [], "/"), part("server"))
                ),
                ProviderPart("cloud", part("cloud")),
            ]
        ),
        models=board_of(cascade("local")),
        edge=part("edge"),
        drain_seconds=1.0,
    )
    return System(ROOT, tree, on_event=events or EventLog())


async def test_the_log_opens_first_and_the_door_last_and_they_close_the_other_way_round() -> None:
    story: list[str] = []
    async with system(story):
        pass
    assert story == [
        *["storage starts", "catalog starts", "server starts", "local starts", "cloud starts", "edge starts"],
        *["edge stops", "cloud stops", "local stops", "server stops", "catalog stops", "storage stops"],
    ]


async def test_parts_are_found_at_their_paths() -> None:
    spec = ServerSpec("local", lambda port: [], "/health")
    async with system([]) as running:
        paths = [node.path for node in walk(running.tree())]
        assert server_path(spec) in paths
        assert f"{PROVIDERS}/local" in paths
        assert model_path("test-model") in paths
        assert sessions_path("test-model") in paths


@pytest.mark.parametrize("path", ["storage", "catalog", "providers/local", "providers/local.server", "edge"])
async def test_one_part_is_restarted_without_touching_its_neighbours(path: str) -> None:
    story: list[str] = []
    async with system(story) as running:
        story.clear()
        ref = running.whereis(f"{ROOT}/{path}")
        assert ref is not None
        ref.kill()
        await settle()
        assert story == [f"{path.rpartition('/')[2].replace('local.server', 'server')} starts"]


async def test_sessions_go_with_their_model_and_a_model_does_not_go_with_its_sessions() -> None:
    async with system([]) as running:
        paths = (model_path("test-model"), sessions_path("test-model"))

        def kill(path: str) -> None:
            ref = running.whereis(path)
            assert ref is not None
            ref.kill()

        def restarts() -> list[int]:
            return [node.restarts for node in walk(running.tree()) if node.path in paths]

        kill(sessions_path("test-model"))
        await settle()
        assert restarts() == [0, 1]
        kill(model_path("test-model"))
        await settle()
        assert restarts() == [1, 2]


async def test_a_branch_that_cannot_be_kept_up_is_given_up_by_the_root_in_the_end() -> None:
    def refuse() -> Actor:
        return Failing()

    class Failing(Actor):
        async def init(self) -> None:
            if ready:
                raise RuntimeError("never again")

    ready: list[bool] = []
    tree = build_tree(
        checkpointer=partial(Part, "storage", []),
        catalog=partial(Part, "catalog", []),
        providers=ProviderRoster([ProviderPart("local", refuse)]),
        models=board_of(),
        edge=partial(Part, "edge", []),
        drain_seconds=1.0,
    )
    async with System(ROOT, tree, on_event=EventLog()) as running:
        ready.append(True)
        ref = running.whereis(f"{PROVIDERS}/local")
        assert ref is not None
        ref.kill()
        reason = await running.wait_stopped()
        assert "30 restarts" in str(reason)

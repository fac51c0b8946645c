"""Whom the fault of one child concerns."""

import pytest

from supervisors import which_children
from supervisors.testing import settle
from tests.supervisors.actors import Boom, Puppet, crash, puppet, started, stop_normally
from tests.supervisors.trees import refs, tree

pytestmark = pytest.mark.anyio


async def test_one_for_one_leaves_the_siblings_alone_and_keeps_the_place() -> None:
    async with tree(puppet("a"), puppet("b"), puppet("c")) as system:
        a, b, c = refs(system, "a", "b", "c")
        started(system, "app/b").cast(crash)
        await settle()
        assert refs(system, "a", "c") == [a, c]
        assert refs(system, "b") != [b]
        assert [child.id for child in await which_children(system.named("app"))] == ["a", "b", "c"]


async def test_one_for_all_restarts_everybody_in_order() -> None:
    trace: list[str] = []
    async with tree(*[puppet(child, trace) for child in "abc"], strategy="one_for_all") as system:
        old = refs(system, "a", "b", "c")
        trace.clear()
        started(system, "app/b").cast(crash)
        await settle()
        assert all(new is not None and new not in old for new in refs(system, "a", "b", "c"))
        assert trace[1:] == [
            "c terminate shutdown",
            "a terminate shutdown",
            *[f"{child} {step}" for child in "abc" for step in ("init", "up")],
        ]


async def test_rest_for_one_restarts_those_after() -> None:
    trace: list[str] = []
    async with tree(*[puppet(child, trace) for child in "abcd"], strategy="rest_for_one") as system:
        old = refs(system, "a", "b", "c", "d")
        trace.clear()
        started(system, "app/b").cast(crash)
        await settle()
        new = refs(system, "a", "b", "c", "d")
        assert new[0] == old[0]
        assert all(ref is not None and ref not in old for ref in new[1:])
        assert trace[1:3] == ["d terminate shutdown", "c terminate shutdown"]


async def test_a_temporary_bystander_is_not_revived() -> None:
    async with tree(puppet("a", restart="temporary"), puppet("b"), strategy="one_for_all") as system:
        started(system, "app/b").cast(crash)
        await settle()
        assert [child.id for child in await which_children(system.named("app"))] == ["b"]


async def test_a_group_restart_revives_a_sibling_that_had_ended_in_peace() -> None:
    async with tree(puppet("a", restart="transient"), puppet("b"), strategy="one_for_all") as system:
        started(system, "app/a").cast(stop_normally)
        await settle()
        started(system, "app/b").cast(crash)
        await settle()
        assert system.whereis("app/a") is not None


async def test_a_sibling_that_crashes_during_a_group_restart_counts_only_once() -> None:
    async with tree(puppet("a"), puppet("b"), strategy="one_for_all", max_restarts=1) as system:
        started(system, "app/a").cast(crash)
        started(system, "app/b").cast(crash)
        await settle()
        assert None not in refs(system, "a", "b")


async def test_one_for_all_stops_the_restarted_again_when_a_later_start_fails() -> None:
    trace: list[str] = []
    attempts: list[int] = []

    async def fail_second_time(actor: Puppet) -> None:
        attempts.append(1)
        if len(attempts) == 2:
            raise Boom

    specs = [puppet("a", trace), puppet("b", trace, on_init=fail_second_time), puppet("c", trace)]
    async with tree(*specs, strategy="one_for_all") as system:
        trace.clear()
        started(system, "app/c").cast(crash)
        await settle()
        assert None not in refs(system, "a", "b", "c")
        assert trace[1:] == [
            "b terminate shutdown",
            "a terminate shutdown",
            "a init",
            "a up",
            "b init",
            "a terminate shutdown",
            "a init",
            "a up",
            "b init",
            "b up",
            "c init",
            "c up",
        ]


async def test_rest_for_one_goes_on_from_the_child_whose_start_failed() -> None:
    trace: list[str] = []
    attempts: list[int] = []

    async def fail_second_time(actor: Puppet) -> None:
        attempts.append(1)
        if len(attempts) == 2:
            raise Boom

    specs = [puppet("a", trace), puppet("b", trace, on_init=fail_second_time), puppet("c", trace)]
    async with tree(*specs, strategy="rest_for_one") as system:
        trace.clear()
        started(system, "app/a").cast(crash)
        await settle()
        assert trace[1:] == [
            "c terminate shutdown",
            "b terminate shutdown",
            "a init",
            "a up",
            "b init",
            "b init",
            "b up",
            "c init",
            "c up",
        ]

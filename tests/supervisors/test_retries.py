"""Between two attempts to restart a child, the supervisor serves."""

import anyio
import pytest

from supervisors import ExitReason, terminate_child, which_children
from tests.supervisors.actors import Boom, Puppet, crash, puppet, started
from tests.supervisors.trees import tree

pytestmark = pytest.mark.anyio


async def test_a_supervisor_serves_between_two_attempts() -> None:
    async def slow_failure(actor: Puppet) -> None:
        await anyio.sleep(1)
        if anyio.current_time() > 2:
            raise Boom

    async with tree(puppet("a"), puppet("b", on_init=slow_failure), max_restarts=1000) as system:
        await anyio.sleep(2)
        supervisor = system.named("app")
        started(system, "app/b").cast(crash)
        await anyio.sleep(2)
        children = await which_children(supervisor)
        assert [(child.id, child.status) for child in children] == [("a", "running"), ("b", "restarting")]
        await terminate_child(supervisor, "b")
        assert [child.status for child in await which_children(supervisor)] == ["running", "stopped"]
        await anyio.sleep(100)
        assert system.whereis("app/b") is None


async def test_a_supervisor_that_keeps_trying_can_be_stopped() -> None:
    async def fail_later(actor: Puppet) -> None:
        await anyio.sleep(1)
        if anyio.current_time() > 2:
            raise Boom

    async with tree(puppet("a"), puppet("b", on_init=fail_later), max_restarts=1000) as system:
        await anyio.sleep(2)
        started(system, "app/b").cast(crash)
        await anyio.sleep(5)
        assert await system.shutdown() == ExitReason.SHUTDOWN


async def test_later_siblings_stay_down_between_two_attempts() -> None:
    async def slow_failure(actor: Puppet) -> None:
        await anyio.sleep(1)
        if anyio.current_time() > 2:
            raise Boom

    specs = [puppet("a"), puppet("b", on_init=slow_failure), puppet("c")]
    async with tree(*specs, strategy="rest_for_one", max_restarts=1000) as system:
        await anyio.sleep(2)
        a = started(system, "app/a")
        started(system, "app/b").cast(crash)
        await anyio.sleep(2)
        statuses = [(child.id, child.status) for child in await which_children(system.named("app"))]
        assert statuses == [("a", "running"), ("b", "restarting"), ("c", "stopped")]
        assert a.alive
        await terminate_child(system.named("app"), "b")


async def test_of_a_group_what_was_started_before_the_failure_runs_until_the_next_attempt() -> None:
    async def slow_failure(actor: Puppet) -> None:
        await anyio.sleep(1)
        if anyio.current_time() > 2:
            raise Boom

    specs = [puppet("a"), puppet("b", on_init=slow_failure), puppet("c")]
    async with tree(*specs, strategy="one_for_all", max_restarts=1000) as system:
        await anyio.sleep(2)
        started(system, "app/c").cast(crash)
        await anyio.sleep(2.5)
        statuses = [(child.id, child.status) for child in await which_children(system.named("app"))]
        assert statuses == [("a", "running"), ("b", "restarting"), ("c", "stopped")]
        await terminate_child(system.named("app"), "b")

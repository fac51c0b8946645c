"""What must not grow: costs are compared with each other within one run, counted or in processor time, and never with a clock."""

import time

import pytest

from supervisors import ChildSpec, DynamicSupervisor, Mailbox, start_child, terminate_child
from supervisors.testing import settle
from tests.supervisors.actors import Ask, Do, Puppet, puppet, started
from tests.supervisors.trees import running, tree
from tests.support.effort import counted, no_collection

pytestmark = pytest.mark.anyio


async def test_what_waits_for_the_caller_makes_its_calls_no_slower() -> None:
    """Timed, because it would be C that searches a queue; the best of several, and with what waits a thousand times longer."""
    specs = [puppet(child, mailbox=Mailbox(1_000_000)) for child in ("a", "b")]
    async with tree(*specs) as system:
        a, b = started(system, "app/a"), started(system, "app/b")
        best: list[float] = []

        async def call_b(actor: Puppet) -> None:
            taken = []
            for _ in range(10):
                began = time.thread_time()
                for _ in range(20):
                    await b.call(Ask())
                taken.append(time.thread_time() - began)
            best.append(min(taken))

        await a.call(Do(call_b))
        a.cast(call_b)
        for _ in range(300_000):
            a.cast("waiting")
        with no_collection():
            await settle()
        assert best[1] < 10 * best[0]


async def test_ten_times_the_children_do_not_take_fifty_times_as_long_to_stop() -> None:
    async def spent(children: int) -> int:
        async with tree(ChildSpec("pool", DynamicSupervisor, type="supervisor")) as system:
            supervisor = system.named("app/pool")
            for number in range(children):
                await start_child(supervisor, puppet(f"w{number}", restart="temporary"))
            with counted() as count:
                await terminate_child(system.named("app"), "pool")
        return count.total

    assert await spent(1000) < 15 * await spent(100)


async def test_a_step_of_administration_costs_about_the_same_with_few_children_and_with_many() -> None:
    async def spent(siblings: int) -> int:
        async with running("dynamic", *[puppet(f"w{number}") for number in range(siblings)]) as system:
            supervisor = system.named("app")
            with counted() as count:
                for _ in range(20):
                    await start_child(supervisor, puppet("another"))
                    await terminate_child(supervisor, "another")
        return count.total

    assert await spent(1000) < 1.5 * await spent(10)

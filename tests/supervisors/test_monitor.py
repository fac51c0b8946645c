"""Monitors bring exactly one piece of news."""

import anyio
import pytest

from supervisors import ChildSpec, Down, DynamicSupervisor, ExitReason, Supervisor, System, adopt
from supervisors.testing import EventLog, settle
from tests.supervisors.actors import Do, Puppet, crash, puppet, puppet_of, started

pytestmark = pytest.mark.anyio


def tree() -> System:
    children = [puppet("watcher"), puppet("target", restart="temporary")]
    return System("app", Supervisor(children), on_event=EventLog())


async def test_a_death_brings_one_down_with_its_reason() -> None:
    async with tree() as system:
        watcher, target = started(system, "app/watcher"), started(system, "app/target")

        async def watch(actor: Puppet) -> None:
            actor.monitor(target)

        await watcher.call(Do(watch))
        target.cast(crash)
        await anyio.sleep(10)
        [down] = puppet_of(watcher).infos
        assert isinstance(down, Down)
        assert down.ref == target
        assert str(down.reason) == "crashed: Boom: target"


async def test_each_monitor_brings_its_own_news() -> None:
    async with tree() as system:
        watcher, target = started(system, "app/watcher"), started(system, "app/target")

        async def watch(actor: Puppet) -> None:
            actor.kept_monitors = [actor.monitor(target), actor.monitor(target)]  # type: ignore[attr-defined]

        await watcher.call(Do(watch))
        target.kill()
        await settle()
        downs = puppet_of(watcher).infos
        assert [down.monitor for down in downs] == puppet_of(watcher).kept_monitors  # type: ignore[attr-defined]


async def test_watching_the_dead_brings_noproc_at_once() -> None:
    async with tree() as system:
        watcher, target = started(system, "app/watcher"), started(system, "app/target")
        await target.stop()

        async def watch(actor: Puppet) -> None:
            actor.monitor(target)
            actor.monitor(actor.system.named("app/nobody"))

        await watcher.call(Do(watch))
        await settle()
        assert [down.reason for down in puppet_of(watcher).infos] == [ExitReason.NOPROC, ExitReason.NOPROC]


async def test_a_name_is_watched_through_its_present_holder() -> None:
    async with tree() as system:
        monitor = system.monitor(system.named("app/watcher"))
        started(system, "app/watcher").kill()
        assert (await monitor.wait()).reason == ExitReason.KILLED


async def test_taking_a_monitor_off_silences_it() -> None:
    async with tree() as system:
        watcher, target = started(system, "app/watcher"), started(system, "app/target")

        async def watch(actor: Puppet) -> None:
            actor.monitor(target).demonitor()

        await watcher.call(Do(watch))
        assert watcher._cell._tied().at_exit == {}
        target.kill()
        await settle()
        assert puppet_of(watcher).infos == []


@pytest.mark.parametrize("flush", [True, False])
async def test_flushing_takes_back_news_that_waits_already(flush: bool) -> None:
    async with tree() as system:
        watcher, target = started(system, "app/watcher"), started(system, "app/target")

        async def watch(actor: Puppet) -> None:
            monitor = actor.monitor(target)
            target.kill()
            await settle()
            assert actor.ref.info().mailbox_depth == 1
            monitor.demonitor(flush=flush)

        await watcher.call(Do(watch))
        await settle()
        assert len(puppet_of(watcher).infos) == (0 if flush else 1)


async def test_the_name_is_free_or_the_successors_when_the_news_arrives() -> None:
    found: list[object] = []

    class Finder(Puppet):
        async def handle_info(self, message: object) -> None:
            holder = self.system.whereis("app/target")
            found.append(holder is None or holder.alive)

    children = [ChildSpec("finder", Finder), puppet("target")]
    async with System("app", Supervisor(children), on_event=EventLog()) as system:
        target = started(system, "app/target")

        async def watch(actor: Puppet) -> None:
            actor.monitor(target)

        await started(system, "app/finder").call(Do(watch))
        target.kill()
        await settle()
        assert found == [True]


async def test_a_dead_watcher_leaves_no_watch_behind() -> None:
    async with tree() as system:
        watcher, target = started(system, "app/watcher"), started(system, "app/target")

        async def watch(actor: Puppet) -> None:
            actor.monitor(target)

        await watcher.call(Do(watch))
        watcher.kill()
        await settle()
        assert target._cell._tied().watchers == {}


async def test_an_adopted_task_can_be_watched() -> None:
    spec = ChildSpec("runs", DynamicSupervisor, type="supervisor")
    async with System("app", Supervisor([spec])) as system:
        async with adopt(system.named("app/runs"), "one") as run:
            monitor = system.monitor(run)
        assert (await monitor.wait()).reason == ExitReason.NORMAL

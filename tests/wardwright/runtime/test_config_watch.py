"""The actor that follows the configuration: what it asks for, and that nothing that comes of it ends it."""

from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from supervisors import ChildSpec, CrashReport, start_child
from supervisors.testing import settle
from tests.wardwright.runtime.catalog_rig import Rig, model, rig
from tests.wardwright.runtime.conftest import Logs
from tests.wardwright.runtime.stage import InlineThreads
from tests.wardwright.runtime.test_catalog import FailingLog
from wardwright.runtime.config_watch import ConfigWatch
from wardwright.runtime.tree import RUNS

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]


async def watch(on: Rig) -> anyio.Event:
    """Start the actor; it is told of a change at its start, and when the event is set."""
    change = anyio.Event()

    async def changes() -> AsyncGenerator[None, None]:
        yield
        await change.wait()
        yield
        await anyio.sleep_forever()

    await start_child(on.system.named(RUNS), ChildSpec("config", lambda: ConfigWatch(changes, on.desk)))
    await settle()
    return change


async def test_it_has_the_configuration_read_at_its_start_and_at_every_change(tmp_path: Path) -> None:
    async with rig(tmp_path, model("m", version="v1")) as on:
        on.write(model("m", "local/large", version="v2"))
        change = await watch(on)
        assert on.active() == {"m": "v2"}
        on.write(model("m", "local/small", "local/large", version="v3"))
        change.set()
        await settle()
        assert on.active() == {"m": "v3"}


async def test_a_configuration_with_problems_is_none_of_its_troubles(tmp_path: Path) -> None:
    async with rig(tmp_path, model("m", version="v1")) as on:
        on.write(model("m", "nowhere"))
        change = await watch(on)
        on.write(model("m", "local/large", version="v2"))
        change.set()
        await settle()
        assert on.active() == {"m": "v2"}
        assert on.events.of(CrashReport) == []


async def test_a_disk_that_fails_is_said_so(tmp_path: Path, logs: Logs) -> None:
    log = FailingLog()
    async with rig(tmp_path, model("m", version="v1"), log=log) as on:
        log.fails = True
        on.write(model("m", "local/large", version="v2"))
        await watch(on)
        assert on.active() == {"m": "v1"}
        said = [entry for entry in logs if entry["event"] == "the configuration could not be followed"]
        assert [entry["reason"] for entry in said] == ["the disk is full"]


async def test_a_configuration_that_takes_long_to_follow_is_followed(
    tmp_path: Path, logs: Logs, threads: InlineThreads
) -> None:
    async with rig(tmp_path, model("m", version="v1")) as on:
        on.write(model("m", "local/large", version="v2"))
        threads.takes_s = 45.0
        await watch(on)
        await anyio.sleep(40)
        assert on.active() == {"m": "v1"}
        threads.takes_s = 0.0
        await anyio.sleep(10)
        assert on.active() == {"m": "v2"}
        assert [entry for entry in logs if entry["log_level"] in ("warning", "error")] == []

"""Sinks that come, change and go while the daemon runs."""

import json
from pathlib import Path

import anyio
import pytest

from supervisors.testing import settle
from tests.wardwright.runtime.catalog_rig import HEAD, Rig, model, rig
from wardwright.runtime.catalog_calls import Reload
from wardwright.runtime.checkpointer import Append
from wardwright.runtime.tree import SINKS, STORAGE, sink_path
from wardwright.testing.sample_receipts import plain, receipt_id

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]


def sink(name: str, path: Path, **keys: object) -> str:
    settings = {"id": f'"{name}"', "kind": '"jsonl"', "path": f'"{path}"', "start_at": '"start"', **keys}
    return "\n[[sinks]]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items())


def running(on: Rig) -> dict[str, int]:
    """How often each sink was restarted."""
    node = on.system.tree().find(SINKS)
    assert node is not None
    return {child.id: child.restarts for child in node.children if child.status == "running"}


async def reload(on: Rig, *sinks: str) -> None:
    on.write(model("m"), head=HEAD + "".join(sinks))
    await on.ask(Reload())
    await settle()


async def write(on: Rig, *numbers: int) -> None:
    for number in numbers:
        await on.system.named(STORAGE).call(Append(plain(number).payloads), timeout=100)
    await anyio.sleep(1)


def sent(path: Path) -> list[str]:
    return [json.loads(line)["receipt_id"] for line in path.read_bytes().splitlines()]


async def test_sinks_come_change_and_go_and_each_goes_on_at_its_place(tmp_path: Path) -> None:
    one, two, other = (tmp_path / name for name in ("one.jsonl", "two.jsonl", "other.jsonl"))
    async with rig(tmp_path) as on:
        assert running(on) == {}
        await reload(on, sink("a", one), sink("b", two))
        await write(on, 1, 2)
        untouched = on.system.whereis(sink_path("b"))
        await reload(on, sink("a", other, batch=1), sink("b", two))
        await write(on, 3)
        assert running(on) == {"a": 0, "b": 0}
        assert on.system.whereis(sink_path("b")) is untouched
        await reload(on, sink("b", two))
        await write(on, 4)
        assert running(on) == {"b": 0}
        await reload(on, sink("a", other), sink("b", two))
        await anyio.sleep(1)
    assert sent(one) == [receipt_id(1), receipt_id(2)]
    assert sent(other) == [receipt_id(3), receipt_id(4)], "it kept its place while nobody wanted it"
    assert sent(two) == [receipt_id(number) for number in (1, 2, 3, 4)]


async def test_what_waits_is_sent_before_a_sink_changes(tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    async with rig(tmp_path, head=HEAD + sink("a", one, linger_ms=60_000)) as on:
        await anyio.sleep(1)
        await write(on, 1, 2)
        await reload(on, sink("a", two))
    assert (sent(one), sent(two)) == ([receipt_id(1), receipt_id(2)], [])


async def test_a_catalog_that_crashes_leaves_sinks_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    async with rig(tmp_path, head=HEAD + sink("a", path)) as on:
        before = on.system.whereis(sink_path("a"))
        catalog = on.system.whereis("wardwright/catalog")
        assert catalog is not None
        catalog.kill()
        await write(on, 1)
        assert on.system.whereis(sink_path("a")) is before
        assert sent(path) == [receipt_id(1)]

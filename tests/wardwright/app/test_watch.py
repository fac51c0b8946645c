"""Noticing that a configuration's files have changed, in every way that they come to."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

import wardwright.app.watch
from wardwright.app.watch import config_changes
from wardwright.config.load import load_config
from wardwright.runtime.config_board import ConfigBoard

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

MAIN = '[include]\nmodels = ["models/*.toml", "deep/**/*.toml"]\n\n' + (
    '[[providers]]\nid = "p"\nkind = "canned"\noutputs = ["x"]\n\n[[targets]]\nid = "p/x"\nprovider = "p"\ncontext_window = 9\n'
)
MODEL = '[[models]]\nid = "{name}"\n'


@asynccontextmanager
async def watched(folder: Path, *, look_every_s: float = 30.0) -> AsyncIterator[Callable[[], bool]]:
    """Watch a configuration in a folder; tells whether a change was noticed since it was last asked."""
    main = folder / "wardwright.toml"
    main.write_text(MAIN)
    (folder / "models").mkdir(exist_ok=True)
    (folder / "models" / "first.toml").write_text(MODEL.format(name="first"))
    config = ConfigBoard(load_config(main, {}))
    noticed = 0

    async def watch() -> None:
        nonlocal noticed
        async with aclosing(config_changes(config, {}, look_every_s=look_every_s)) as changes:
            async for _ in changes:
                noticed += 1

    def take() -> bool:
        nonlocal noticed
        found, noticed = noticed > 0, 0
        return found

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await until(take)  # it begins with one
        await anyio.sleep(0.2)  # the watches are laid in a moment
        yield take
        tasks.cancel_scope.cancel()


async def until(is_true: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not is_true():  # noqa: ASYNC110 - what is waited for happens in the file system
            await anyio.sleep(0.02)


async def test_a_file_that_is_written_to_is_noticed(tmp_path: Path) -> None:
    async with watched(tmp_path) as noticed:
        (tmp_path / "wardwright.toml").write_text(MAIN + "# more\n")
        await until(noticed)


async def test_a_file_that_is_replaced_is_noticed(tmp_path: Path) -> None:
    async with watched(tmp_path) as noticed:
        (tmp_path / "new").write_text(MAIN)
        (tmp_path / "new").rename(tmp_path / "wardwright.toml")
        await until(noticed)


async def test_a_link_that_leads_elsewhere_is_noticed(tmp_path: Path) -> None:
    """As orchestrators exchange mounted configuration: the name is a link into a folder that is a link."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "wardwright.toml").write_text(MAIN)
    (tmp_path / "data").symlink_to("one")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "data").symlink_to(tmp_path / "one")
    link = tmp_path / "etc" / "wardwright.toml"
    link.symlink_to("data/wardwright.toml")
    async with watched(tmp_path / "etc") as noticed:
        (tmp_path / "etc" / "next").symlink_to(tmp_path / "two")
        os.rename(tmp_path / "etc" / "next", tmp_path / "etc" / "data")
        await until(noticed)


async def test_an_included_file_that_appears_changes_or_goes_is_noticed(tmp_path: Path) -> None:
    async with watched(tmp_path) as noticed:
        second = tmp_path / "models" / "second.toml"
        second.write_text(MODEL.format(name="second"))
        await until(noticed)
        await anyio.sleep(0.2)
        second.write_text(MODEL.format(name="other"))
        await until(noticed)
        await anyio.sleep(0.2)
        second.unlink()
        await until(noticed)


async def test_what_is_no_part_of_the_configuration_is_passed_over(tmp_path: Path) -> None:
    async with watched(tmp_path) as noticed:
        (tmp_path / "daemon.log").write_text("a line\n")
        (tmp_path / "models" / "notes.txt").write_text("a note\n")
        await anyio.sleep(0.5)
        assert not noticed()


async def test_where_nothing_tells_of_a_change_it_is_found_by_looking(tmp_path: Path) -> None:
    async with watched(tmp_path, look_every_s=0.1) as noticed:
        (tmp_path / "deep" / "er").mkdir(parents=True)
        (tmp_path / "deep" / "er" / "third.toml").write_text(MODEL.format(name="third"))
        await until(noticed)


async def test_without_watches_files_are_looked_at_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*folders: Path, **options: object) -> object:
        raise OSError("no watches left")

    monkeypatch.setattr(wardwright.app.watch, "awatch", none_left)
    with capture_logs() as logs:
        async with watched(tmp_path, look_every_s=0.05) as noticed:
            (tmp_path / "wardwright.toml").write_text(MAIN + "# more\n")
            await until(noticed)
    assert {entry["reason"] for entry in logs} == {"no watches left"}

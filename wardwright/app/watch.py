"""Noticing that the configuration's files have changed.

The folders of the files are watched, since editors and deployments put new files in the place of old ones. An event only says that it
is time to look: what counts is whether a file is another than before. Looking comes round every few seconds anyway, for file
systems that tell of nothing and folders that did not exist.
"""

import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import TypeAlias

import anyio
import anyio.to_thread
import structlog
from watchfiles import awatch

from wardwright.config.load import Loaded, files_of
from wardwright.runtime.config_board import ConfigBoard

_LOOK_EVERY_S = 5.0
_QUIET_MS = 100  # a change is looked at when no other has followed it for so long

Look: TypeAlias = tuple[tuple[str, int, int, int], ...]

_log = structlog.get_logger("wardwright.config")


async def config_changes(
    config: ConfigBoard, environ: Mapping[str, str], *, look_every_s: float = _LOOK_EVERY_S
) -> AsyncGenerator[None, None]:
    """Tell of each change of the configuration that is followed. Begins with one, for what may have come before the watch.

    Cancellation: cancel point.
    """
    while True:
        known, folders = await anyio.to_thread.run_sync(_look, config.loaded, environ)
        yield
        await _wait_for_change(config.loaded, environ, known, folders, look_every_s)


async def _wait_for_change(
    loaded: Loaded, environ: Mapping[str, str], known: Look, folders: Iterable[Path], look_every_s: float
) -> None:
    """Return when the files are others than those known."""
    stop = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_set_when_cancelled, stop)
        async with aclosing(_occasions(folders, look_every_s, stop)) as occasions:
            async for _ in occasions:
                now, _ = await anyio.to_thread.run_sync(_look, loaded, environ)
                if now != known:
                    break
        tasks.cancel_scope.cancel()


async def _occasions(folders: Iterable[Path], look_every_s: float, stop: anyio.Event) -> AsyncGenerator[None, None]:
    """Tell when it is time to look: something happened in a folder, or nothing did for a while."""
    try:
        told = awatch(
            *folders,
            watch_filter=None,
            stop_event=stop,
            step=_QUIET_MS,
            rust_timeout=round(look_every_s * 1000),
            yield_on_timeout=True,
            recursive=False,
        )
        async with aclosing(told):
            async for _ in told:
                yield
    except (OSError, RuntimeError) as error:  # no such folder, or no watches left
        _log.warning("folders cannot be watched, so files are looked at now and then", reason=str(error))
    while not stop.is_set():
        await anyio.sleep(look_every_s)
        yield


async def _set_when_cancelled(stop: anyio.Event) -> None:
    """Let a cancellation reach the thread that waits for the file system: nothing else would before its time is up."""
    try:
        await anyio.sleep_forever()
    finally:
        stop.set()


def _look(loaded: Loaded, environ: Mapping[str, str]) -> tuple[Look, frozenset[Path]]:
    """What tells the files of a configuration from others in their place, and the folders they are in."""
    files = files_of(loaded, environ)
    seen = []
    for file in files:
        try:
            about = os.stat(file)
        except OSError:
            continue
        seen.append((str(file), about.st_ino, about.st_mtime_ns, about.st_size))
    folders = {file.parent for file in files}
    if loaded.file is not None:
        folders |= {_fixed_part(Path(loaded.file).parent, pattern) for pattern in loaded.settings.include.models}
    return tuple(seen), frozenset(folder for folder in folders if folder.is_dir())


def _fixed_part(folder: Path, pattern: str) -> Path:
    """The folder that a pattern certainly leads into."""
    parts = Path(pattern).parts
    magic = next((index for index, part in enumerate(parts) if any(sign in part for sign in "*?[")), len(parts) - 1)
    return folder.joinpath(*parts[:magic])

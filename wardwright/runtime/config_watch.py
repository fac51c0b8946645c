"""Following the configuration: whenever its files have changed, the catalog is asked to read them again."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import structlog

from supervisors import Actor
from wardwright.config.problems import ConfigError
from wardwright.domain.errors import WardwrightError
from wardwright.runtime.catalog_desk import CatalogDesk

Changes = Callable[[], AsyncGenerator[None, None]]

_log = structlog.get_logger("wardwright.config")


async def follow(desk: CatalogDesk) -> None:
    """Have the configuration read again. What came of it, problems included, the catalog has logged."""
    try:
        await desk.reload()
    except ConfigError:
        return
    except WardwrightError as error:
        _log.error("the configuration could not be followed", reason=error.message)


class ConfigWatch(Actor):
    """Waits for changes. `changes` begins with one, so that a crash loses none of those that came meanwhile."""

    def __init__(self, changes: Changes, desk: CatalogDesk) -> None:
        self._changes = changes
        self._desk = desk

    async def init(self) -> None:
        """Begin to watch."""
        self.spawn(self._watch)

    async def _watch(self) -> None:
        async with aclosing(self._changes()) as changes:
            async for _ in changes:
                await follow(self._desk)

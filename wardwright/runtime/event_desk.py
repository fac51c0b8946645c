"""Watching: each watcher of the visibility bus is a member of the tree while it watches, so it is seen, counted and can be cut off."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from itertools import count

from supervisors import ActorDown, ActorKilled, System, TooManyChildren, adopt
from wardwright.domain.errors import ActorRestarting, Overloaded
from wardwright.runtime.bus import Bus, Watch
from wardwright.runtime.tree import EVENTS, WATCHERS
from wardwright.runtime.visible import Topic

_TRY_AGAIN_S = 5.0


class EventDesk:
    """The way to the bus for who comes from outside."""

    def __init__(self, system: System, bus: Bus) -> None:
        self._system = system
        self._bus = bus
        self._numbers = count(1)

    @asynccontextmanager
    async def watch(self, topics: Collection[Topic], after: str | None = None) -> AsyncIterator[Watch]:
        """Watch for as long as the block runs. Whoever kills the watcher, or what it is below, ends the block in silence.

        Raises: Overloaded when there are as many watchers as may be; ActorRestarting.
        """
        watch = self._bus.watch(topics, after)
        try:
            async with adopt(self._system.named(EVENTS), str(next(self._numbers)), status=watch.status, shutdown=0.0):
                yield watch
        except TooManyChildren as full:
            raise Overloaded(f"{WATCHERS} watch already, and no more may", _TRY_AGAIN_S) from full
        except ActorDown as down:
            raise ActorRestarting("the gateway is restarting the part that watchers are counted in") from down
        except ActorKilled:
            return
        finally:
            self._bus.unwatch(watch)

"""What all members of one System share: the clock, the deadlines, the names, the tasks and the observer.

It knows of a member only that it has a path; what a member is, is the business of the module which uses it.
"""

import logging
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

from anyio import TaskHandle
from anyio.abc import TaskGroup

from supervisors._backend import Backend
from supervisors._registry import Registry
from supervisors._timers import Timers
from supervisors.events import DeadLetter, Event, Unstopped

_logger = logging.getLogger("supervisors")


class Pathed(Protocol):
    """Somebody with a place in the tree."""

    @property
    def path(self) -> str:
        """Its name, from the System down."""


M = TypeVar("M", bound=Pathed)


class SharedHub(Generic[M]):
    """The parts, and the two ways to be heard: `emit` to the observer, `escalate` to whoever runs the System."""

    __slots__ = ("_heir", "_observer", "_tasks", "backend", "dead_letters", "draw", "fatal", "names", "on_fatal", "stopping",
                 "timers", "unstopped")  # fmt: skip

    def __init__(
        self,
        backend: Backend,
        observer: Callable[[Event], None],
        draw: Callable[[], float],
        heir: Callable[[DeadLetter], None] | None,
    ) -> None:
        self.backend = backend
        self.draw = draw
        self.timers = Timers(backend)
        self.names: Registry[M] = Registry()
        self.stopping = False
        self.dead_letters = 0
        self.unstopped: dict[M, None] = {}
        self.fatal: BaseException | None = None
        self.on_fatal: Callable[[], None] | None = None
        self._observer = observer
        self._heir = heir
        self._tasks: TaskGroup | None = None

    def use_tasks(self, tasks: TaskGroup) -> None:
        """Name the task group below which every member runs."""
        self._tasks = tasks

    def spawn(self, body: Coroutine[Any, Any, None], name: str) -> TaskHandle[None, None]:
        """Run a member's task, in a context which remembers nothing of the spawner's."""
        if self._tasks is None:
            body.close()
            raise RuntimeError("the system is not running")
        return self._tasks.create_task(body, name=name, context=self.backend.new_context())

    @property
    def collapsing(self) -> bool:
        """Whether the task group itself is going down; cancellation then belongs to it."""
        return self._tasks is not None and self._tasks.cancel_scope.cancel_called

    def emit(self, event: Event) -> None:
        """Tell the observer; its mistakes are its own."""
        try:
            self._observer(event)
        except (KeyboardInterrupt, SystemExit) as error:
            self.escalate(error)
        except Exception:
            _logger.exception("the observer of %s failed", type(event).__name__)

    def bury(self, letter: DeadLetter) -> None:
        """Count a message that nobody will read, and offer it to whoever wants such; his mistakes are his own."""
        self.dead_letters += 1
        heir, self._heir = self._heir, None  # what he sends to the dead in turn is only counted
        if heir is None:
            return
        try:
            heir(letter)
        except (KeyboardInterrupt, SystemExit) as error:
            self.escalate(error)
        except Exception:
            _logger.exception("the reader of dead letters failed with one to %s", letter.path)
        finally:
            self._heir = heir

    def escalate(self, error: BaseException) -> None:
        """End the whole System because of an interrupt or exit request which surfaced inside a member."""
        if self.fatal is None:
            self.fatal = error
            if self.on_fatal is not None:
                self.on_fatal()

    def give_up(self, member: M, stack: tuple[str, ...]) -> None:
        """Note a member which outlived its kill."""
        self.unstopped[member] = None
        self.emit(Unstopped(member.path, stack))

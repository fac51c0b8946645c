"""Passive actors: what is left of an actor that has nothing to do, until somebody wants something of it.

A live actor costs a task and some kilobytes even while it waits. A passive one is a record of a few hundred bytes: its
name, what it was made from (shared with its like), and the state it has left. The incarnation goes on. The record takes
the place of the cell behind the actor's handle and its names, and takes over its ties; the next message puts a fresh
cell in the place of the record and is the first that one gets. Both exchanges happen within one step of the event loop,
so no message finds nobody, and nobody can wake an actor twice.

Rules:
- An actor goes passive only between two messages, with none waiting, owing nobody an answer, with no helper, link or
  `receive_timeout`. Else it stays, and is asked again when it has been idle for as long once more.
- Whatever needs the actor wakes it: a message, a request, a timer's message, news of a death, a system request, a link.
  Looking at it, watching it, naming it, ending it and suspending it does not.
- To end it is to strike the record off: `terminate` does not run, because there is nothing to clean up but what
  `passivate` should have.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from anyio.lowlevel import checkpoint

from supervisors._admin import ChildStatus
from supervisors._call import ReplyTo
from supervisors._cell import Cell
from supervisors._child_spec import ChildSpec, child_id_in
from supervisors._children import Child
from supervisors._desk import Scribe
from supervisors._lobby import Place
from supervisors._mail import letter
from supervisors._mailbox import Cast, Info
from supervisors._member import Member
from supervisors._reasons import ExitReason
from supervisors._ref import ActorRef
from supervisors._runner import ActorCell
from supervisors._system import System
from supervisors.exceptions import ActorDown
from supervisors.inspect import ActorInfo, TreeNode

SLICE = 500
"""How many records are struck off in one go, before the rest of the event loop has its turn."""

_RECIPES = 16
"""How many recipes a supervisor remembers, to find one for the next actor that goes passive."""


class Keeper(Protocol):
    """The supervisor of passive actors."""

    def wake(self, record: "Passive") -> ActorCell:
        """Put a cell in the place of a record.

        Raises:
            ActorDown: the supervisor ends, and starts nobody any more.
        """


class Recipe:
    """What passive actors of a kind have in common: how they are made, and by whom.

    The spec is that of any of them; its id means nothing.
    """

    __slots__ = ("keeper", "kind", "spec")

    def __init__(self, spec: ChildSpec, kind: str, keeper: Keeper) -> None:
        self.spec = spec
        self.kind = kind
        self.keeper = keeper

    def makes(self, spec: ChildSpec) -> bool:
        """Whether an actor of this spec is made in the same way."""
        own = self.spec
        return (
            own.start is spec.start
            and own.restart == spec.restart
            and own.shutdown == spec.shutdown
            and own.passivate_after == spec.passivate_after
            and own.mailbox == spec.mailbox
            and own.interrupt == spec.interrupt
            and own.start_timeout == spec.start_timeout
            and own.backoff == spec.backoff
        )


@dataclass(frozen=True, slots=True)
class Luggage:
    """What a few passive actors have besides: a history with their supervisor, and what their desk was told to write."""

    child: Child | None
    scribe: Scribe | None
    unexpected: set[tuple[str, type]] | None


class Passive(Member):
    """The record of a passive actor."""

    __slots__ = ("luggage", "recipe", "state")

    def __init__(self, cell: ActorCell, recipe: Recipe, state: Any, luggage: Luggage | None) -> None:
        super().__init__(cell.hub, cell.path, cell.parent, "passive")
        self.recipe = recipe
        self.state = state
        self.luggage = luggage

    @property
    def id(self) -> str:
        """Its name below its parent; not kept, since the path ends in it."""
        return child_id_in(self.path)

    # --- what wakes it

    def awake(self) -> Member:
        """Have the actor live again: its new cell, which is about to start.

        Raises:
            ActorDown: its supervisor ends.
        """
        return self.recipe.keeper.wake(self)

    def accept(self, envelope: Cast | Info) -> bool:
        """Queue a message at the actor, awake; False when it was refused."""
        cell = self._awake_or_none()
        if cell is None:
            self.hub.bury(letter(self.path, envelope, ExitReason.NOPROC))
        return cell is not None and cell.accept(envelope)

    def accept_or_wait(self, envelope: Cast | Info) -> bool | Place:
        """Queue a message as `accept` does; a mailbox that was empty has room."""
        return self.accept(envelope)

    def accept_request(self, request: ReplyTo[Any]) -> None:
        """Queue a request at the actor, awake."""
        self.awake().accept_request(request)

    def accept_errand(self, request: ReplyTo[Any]) -> None:
        """Queue a system request at the actor, awake."""
        self.awake().accept_errand(request)

    def signal(self, message: object) -> None:
        """Wake the actor with news."""
        cell = self._awake_or_none()
        if cell is not None:
            cell.signal(message)

    def _awake_or_none(self) -> Member | None:
        try:
            return self.awake() if self.exit_reason is None else None
        except ActorDown:
            return None

    # --- what does not

    def hold(self, held: bool) -> bool:
        """Note that the actor is suspended, or is no longer; woken meanwhile, it will look at no message."""
        if self.exit_reason is None:
            self._enter("suspended" if held else "passive")
        return True

    def request_stop(self, reason: ExitReason) -> None:
        """End at once: nothing is running."""
        self.publish_exit(reason)

    def kill(self, reason: ExitReason = ExitReason.KILLED) -> None:
        """End at once."""
        self.publish_exit(reason)

    # --- views

    @property
    def history(self) -> Child | None:
        """What its supervisor remembers of it, if it was ever restarted."""
        return None if self.luggage is None else self.luggage.child

    def as_status(self) -> ChildStatus:
        """Describe it for `which_children`."""
        return ChildStatus(self.id, ActorRef(self), self.status, self.type, self.recipe.spec.restart)

    def info(self) -> ActorInfo:
        """Describe it; there is no actor that could have a view of itself."""
        return ActorInfo(
            path=self.path,
            kind=self.recipe.kind,
            type=self.type,
            status=self.status,
            restart=self.recipe.spec.restart,
            since=self.since,
            mailbox_depth=0,
            current_message=None,
            busy_since=None,
            waiting_on=(),
            handled=0,
            dropped=0,
            restarts=0 if self.history is None else self.history.restarts,
            last_exit=None if self.history is None else self.history.last_exit,
            exit_reason=self.exit_reason,
            details={},
            links=(),
            names=self.names,
        )

    def node(self) -> TreeNode:
        """Describe it as a place of the tree."""
        return TreeNode(
            path=self.path,
            id=self.id,
            kind=self.recipe.kind,
            type=self.type,
            status=self.status,
            restart=self.recipe.spec.restart,
            mailbox_depth=0,
            restarts=0 if self.history is None else self.history.restarts,
            last_exit=None if self.history is None else self.history.last_exit,
            since=self.since,
            waiting_on=(),
            children=(),
        )


class Dormitory:
    """The passive children of one supervisor.

    Where there is a limit it is asked all the time who came first. An ordinary dictionary looks for that past everybody
    who has left since it was last rebuilt.
    """

    def __init__(self, keeper: Keeper, limit: int | None) -> None:
        self._keeper = keeper
        self._limit = limit
        self._records: dict[str, Passive] = {} if limit is None else OrderedDict()
        self._recipes: deque[Recipe] = deque(maxlen=_RECIPES)

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Passive]:
        return iter(self._records.values())

    @property
    def surplus(self) -> Passive | None:
        """Who has been passive for longest, if there are too many."""
        return next(iter(self)) if self._limit is not None and len(self) > self._limit else None

    def find(self, path: str) -> Passive | None:
        """Look a record up."""
        return self._records.get(path)

    def admit(self, child: Child, cell: ActorCell, spec: ChildSpec, state: Any) -> None:
        """Put a record in the place of a cell."""
        history = child if child.restarts else None
        luggage = None
        if history is not None or cell.scribe is not None or cell.unexpected_types is not None:
            luggage = Luggage(history, cell.scribe, cell.unexpected_types)
        record = Passive(cell, self._recipe(spec, cell.kind), state, luggage)
        self._records[record.path] = record
        cell.hand_over(record)

    def discharge(self, record: Passive) -> bool:
        """Strike a record off; False when it is not here."""
        if self._records.get(record.path) is not record:
            return False
        del self._records[record.path]
        return True

    async def clear(self, reason: ExitReason) -> None:
        """End everybody, a slice at a time.

        Cancellation: cancel point; the rest stays.
        """
        while self._records:
            for record in list(islice(self, SLICE)):
                record.publish_exit(reason)
            await checkpoint()

    def _recipe(self, spec: ChildSpec, kind: str) -> Recipe:
        for recipe in self._recipes:
            if recipe.kind == kind and (recipe.spec is spec or recipe.makes(spec)):
                return recipe
        recipe = Recipe(spec, kind, self._keeper)
        self._recipes.append(recipe)
        return recipe


def revive(record: Passive, child: Child, system: System, parent: Cell) -> ActorCell:
    """Put a cell in the place of a record; it is to be started."""
    cell = ActorCell(system, record.path, child.id, record.recipe.spec, parent)
    cell.restarts, cell.last_exit = child.restarts, child.last_exit
    cell.take_up(record.state, held=record.status == "suspended")
    if record.luggage is not None:
        cell.scribe = record.luggage.scribe
        cell.unexpected_types = record.luggage.unexpected
    record.hand_over(cell)
    return cell

"""The desk of an actor: what it sees to between two messages, before the next.

System requests wait here, so they pass every queued message, and none of them interrupts a handler. While the actor is
suspended it does nothing but this; a stop still ends it, and its mailbox fills up meanwhile.

Nothing here can hurt the actor: what raises while a request is served fails that request, and a trace hook that raises
is taken off. What is written down of a message is its type, never the message.
"""

import logging
from collections import deque
from typing import Any, Literal

from supervisors._actor import Actor
from supervisors._call import ReplyTo
from supervisors._cell import Cell
from supervisors._child_spec import Mailbox
from supervisors._errands import GetState, GetStatistics, GetStatus, Hook, Log, ReplaceState, Resume, Suspend, Trace
from supervisors._mail import MailCell
from supervisors._mailbox import Cast, Envelope
from supervisors._member import Hub
from supervisors._reasons import ExitReason
from supervisors.events import Traced
from supervisors.exceptions import ActorDown, UnexpectedRequest
from supervisors.inspect import ActorStatus, Statistics

_logger = logging.getLogger("supervisors")


class Scribe:
    """Writes down the traffic of one actor: for a hook, into a short log, or both."""

    __slots__ = ("_path", "hook", "kept")

    def __init__(self, path: str) -> None:
        self._path = path
        self.hook: Hook | None = None
        self.kept: deque[Traced] = deque(maxlen=0)

    @property
    def idle(self) -> bool:
        """Whether nobody wants anything written down."""
        return self.hook is None and self.kept.maxlen == 0

    def took(self, envelope: Envelope, at: float) -> None:
        """Note a message which the actor has taken out of its mailbox."""
        peer = None
        lane: Literal["call", "cast", "info"] = "cast" if isinstance(envelope, Cast) else "info"
        if isinstance(envelope, ReplyTo):
            lane = "call"
            peer = None if envelope.caller is None else envelope.caller.path
        self._write(Traced(self._path, at, lane, type(envelope.message).__qualname__, peer))

    def answered(self, request: ReplyTo[Any], answer: object, at: float) -> None:
        """Note an answer."""
        peer = None if request.caller is None else request.caller.path
        self._write(Traced(self._path, at, "reply", type(answer).__qualname__, peer))

    def keep(self, number: int) -> None:
        """Keep so many from now on."""
        self.kept = deque(self.kept, maxlen=number)

    def _write(self, traced: Traced) -> None:
        self.kept.append(traced)
        if self.hook is not None:
            try:
                self.hook(traced)
            except Exception:
                _logger.exception("the trace hook of %s failed and was taken off", self._path)
                self.hook = None


class DeskCell(MailCell):
    """A member that serves system requests; `halt` is the reason for which it is to end."""

    __slots__ = ("_answered", "_errands", "_started_at", "actor", "halt", "scribe")

    def __init__(self, hub: Hub, path: str, child_id: str, parent: Cell | None, bound: Mailbox) -> None:
        super().__init__(hub, path, child_id, parent, bound)
        self.actor: Actor | None = None
        self.halt: ExitReason | None = None
        self._started_at = self.since
        self._answered = 0
        self._errands: deque[ReplyTo[Any]] | None = None
        self.scribe: Scribe | None = None

    @property
    def module(self) -> str | None:
        """The module of the actor's class, and the class."""
        return None if self.actor is None else _module_of(self.actor)

    @property
    def traps_exit(self) -> bool:
        """Whether the actor has said so."""
        return self.actor is not None and self.actor.trap_exit

    def accept_errand(self, request: ReplyTo[Any]) -> None:
        """Queue a system request."""
        if self._errands is None:
            self._errands = deque()
        self._errands.append(request)
        self.call_away()

    async def attend(self) -> None:
        """See to all that comes before messages; for as long as the actor is suspended, that is all it does.

        Cancellation: cancel point while suspended; nothing is lost.
        """
        self.called = False
        self._run_errands()
        while self.status == "suspended":
            await self._inbox.doze()
            self._run_errands()
        self._begin_silence()

    def _run_errands(self) -> None:
        while self._errands and self.halt is None:
            request = self._errands.popleft()
            if request.begin(self.hub.backend.now()):
                try:
                    request.reply(self._served(request.message))
                except Exception as error:  # noqa: BLE001 whoever asked gets it; the actor did nothing wrong
                    request.fail(error)

    def _served(self, request: object) -> object:
        match request:
            case Suspend():
                if self.status in ("running", "draining"):
                    self._enter("suspended")
            case Resume():
                if self.status == "suspended":
                    self._enter("draining" if self._inbox.closed else "running")
            case GetState():
                return self._living().get_state()
            case ReplaceState(change):
                return self._replace_state(self._living(), change(self._living().get_state()))
            case GetStatus():
                return self._describe()
            case GetStatistics():
                return self._count()
            case Trace(to):
                self._trace(to)
            case Log(keep):
                return self._log(keep)
            case _:
                raise UnexpectedRequest(self.path, type(request).__qualname__)
        return None

    def _replace_state(self, actor: Actor, state: Any) -> Any:
        actor.set_state(state)
        return state

    def _trace(self, to: bool | Hook) -> None:
        hook: Hook | None = None
        if not isinstance(to, bool):
            hook = to
        elif to:
            hook = self.hub.emit
        self.scribe = self.scribe or Scribe(self.path)
        self.scribe.hook = hook
        self._dismiss_scribe()

    def _log(self, keep: int | None) -> tuple[Traced, ...]:
        kept = self._kept()
        if keep is not None:
            self.scribe = self.scribe or Scribe(self.path)
            self.scribe.keep(keep)
            self._dismiss_scribe()
        return kept

    def _kept(self) -> tuple[Traced, ...]:
        return () if self.scribe is None else tuple(self.scribe.kept)

    def _dismiss_scribe(self) -> None:
        if self.scribe is not None and self.scribe.idle:
            self.scribe = None

    def _describe(self) -> ActorStatus:
        actor, scribe = self._living(), self.scribe
        switched_on = {
            "trace": scribe is not None and scribe.hook is not None,
            "log": scribe is not None and scribe.kept.maxlen != 0,
        }
        return ActorStatus(
            path=self.path,
            module=_module_of(actor),
            status=self.status,
            parent=None if self.parent is None else self.parent.path,
            traps_exit=self.traps_exit,
            links=self.links,
            debug=tuple(name for name, on in switched_on.items() if on),
            statistics=self._count(),
            log=self._kept(),
            details=self.details(),
        )

    def _count(self) -> Statistics:
        waiting, dropped = len(self._inbox), self._inbox.dropped
        return Statistics(
            started_at=self._started_at,
            now=self.hub.backend.now(),
            messages_in=self._handled + waiting + dropped,
            messages_out=self._answered,
            handled=self._handled,
            waiting=waiting,
            dropped=dropped,
        )

    def _living(self) -> Actor:
        if self.actor is None:
            raise RuntimeError(f"{self.path} was never made")
        return self.actor

    def _last_words(self, reason: ExitReason) -> None:
        super()._last_words(reason)
        errands, self._errands = self._errands, None
        for request in errands or ():
            request.fail(ActorDown(self.path, reason, started=False))


def _module_of(actor: Actor) -> str:
    made_of = type(actor)
    return f"{made_of.__module__}.{made_of.__qualname__}"

"""The correspondence of an actor: what waits for it, what it is busy with, and whom it owes an answer.

It also knows when nothing comes at all: the idle timeout costs nothing while messages do.

All three are settled at its death, in the order in which the world may learn of it: the crash report, then those who
wait for answers. Requests that were never looked at fail as such, so that a retry is safe; the one being handled and
those whose answer was deferred fail as started.
"""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from supervisors._call import ReplyTo
from supervisors._cell import Cell
from supervisors._child_spec import Mailbox
from supervisors._failure import where
from supervisors._host import HostCell
from supervisors._lobby import BlockingInbox, Place
from supervisors._mailbox import Cast, Envelope, Inbox, Info, Signal
from supervisors._member import Hub
from supervisors._reasons import ExitReason
from supervisors._terms import shorten_view
from supervisors._timers import Alarm
from supervisors.events import CrashReport, DeadLetter, DeadLetters, Lane, Neighbour, Traced
from supervisors.exceptions import ActorDown
from supervisors.inspect import ActorInfo


@dataclass(frozen=True, slots=True)
class Timeout:
    """To an actor which had asked for it: no message came for so many seconds."""

    seconds: float


class Debts(set[ReplyTo[Any]]):
    """The requests that a draining actor has still to answer; it is told when the last of them is settled."""

    __slots__ = ("_paid",)

    def __init__(self, paid: Callable[[], object]) -> None:
        super().__init__()
        self._paid = paid

    def discard(self, request: object) -> None:
        """Strike a request off."""
        super().discard(request)
        if not self:
            self._paid()


class MailCell(HostCell):
    """A member that reads messages.

    `called` says that something more urgent than messages wants its attention, after the present one.
    """

    __slots__ = ("_alarm", "_busy_since", "_current", "_deferred", "_handled", "_idle_after", "_inbox", "called")

    def __init__(self, hub: Hub, path: str, child_id: str, parent: Cell | None, bound: Mailbox) -> None:
        super().__init__(hub, path, child_id, parent)
        kind = BlockingInbox if bound.overflow == "block" else Inbox
        self._inbox = kind(hub.backend, bound, path)
        self._current: Envelope | None = None
        self._busy_since = 0.0
        self._handled = 0
        self._deferred: set[ReplyTo[Any]] | None = None
        self._idle_after: float | None = None
        self._alarm: Alarm | None = None
        self.called = False

    def accept(self, envelope: Cast | Info) -> bool:
        """Queue a message; False when it was refused."""
        if self.exit_reason is not None:
            self.hub.bury(letter(self.path, envelope, ExitReason.NOPROC))
            return False
        return self._inbox.offer(envelope)

    def accept_or_wait(self, envelope: Cast | Info) -> bool | Place:
        """Queue a message; or, where senders wait for room, say where."""
        if self.exit_reason is None and isinstance(self._inbox, BlockingInbox):
            return self._inbox.offer_or_wait(envelope)
        return self.accept(envelope)

    def accept_request(self, request: ReplyTo[Any]) -> None:
        """Queue a request; a refusal fails it."""
        self._inbox.admit(request)

    def signal(self, message: object) -> None:
        """Queue news of the library's own."""
        if self.exit_reason is None:
            self._inbox.push(Signal(message))

    def defer(self, request: ReplyTo[Any]) -> None:
        """Remember that a request is still to be answered."""
        if self._deferred is None:
            self._deferred = set()
        request.defer(self._deferred)

    def close(self) -> None:
        """Take in no more messages; and hear of it when nobody is owed an answer any more."""
        debts = Debts(self._inbox.nudge)
        for request in self._deferred or ():
            request.defer(debts)
        self._deferred = debts
        self._inbox.close()

    @property
    def is_busy(self) -> bool:
        """Whether a message is being handled, or waits."""
        return self._current is not None or bool(self._inbox.queue)

    def call_away(self) -> None:
        """Have something seen to before the next message."""
        self.called = True
        self._inbox.nudge()

    def receive_timeout(self, seconds: float | None) -> None:
        """Tell the actor when no message comes for so long; None takes that back."""
        if seconds is not None and not seconds >= 0:
            raise ValueError(f"seconds: expected a number from 0 or None, got {seconds!r}")
        self._silence()
        self._idle_after = seconds
        self.call_away()

    def _begin_silence(self) -> None:
        """Count the seconds from here on, unless a message is there already."""
        seconds, self._idle_after = self._idle_after, None
        if seconds is not None and not self._inbox.queue:
            handled = self._handled
            self._alarm = self.hub.timers.after(seconds, lambda: self._been_silent(handled, seconds))

    def _been_silent(self, handled: int, seconds: float) -> None:
        self._alarm = None
        if self._handled == handled and self._current is None and not self._inbox.queue:
            self.signal(Timeout(seconds))

    def _silence(self) -> None:
        alarm, self._alarm = self._alarm, None
        if alarm is not None:
            self.hub.timers.discard(alarm)

    @property
    def mailbox_depth(self) -> int:
        """How many messages wait for it."""
        return len(self._inbox)

    def info(self) -> ActorInfo:
        """Describe this incarnation, however stuck it is."""
        current = self._current
        return replace(
            super().info(),
            mailbox_depth=len(self._inbox),
            current_message=self.current_message,
            busy_since=None if current is None else self._busy_since,
            handled=self._handled,
            dropped=self._inbox.dropped,
        )

    def crash_report(self, reason: ExitReason) -> CrashReport:
        """Describe a crash of this member, or of one of its helpers."""
        current = self._current
        client = current.caller if isinstance(current, ReplyTo) else None
        return CrashReport(
            path=self.path,
            kind=self.kind,
            reason=reason,
            ancestors=self.ancestors(),
            mailbox_depth=len(self._inbox),
            last_message=_type_name(current),
            status=shorten_view(self.details()),
            client=None if client is None else client.path,
            stack=where(reason),
            links=self.links,
            module=self.module,
            messages=_types(self._inbox.queue),
            client_stack=client._stack() if isinstance(client, Cell) else (),
            neighbours=self._neighbours(),
            log=self._kept(),
            restarts=self.restarts,
        )

    @property
    def current_message(self) -> str | None:
        """Type of the message it is handling."""
        return _type_name(self._current)

    @property
    def module(self) -> str | None:
        """The module of the actor's class, and the class."""
        return None

    def _kept(self) -> tuple[Traced, ...]:
        return ()

    def _neighbours(self) -> tuple[Neighbour, ...]:
        peers = () if self.ties is None else self.ties.links
        return tuple(
            Neighbour(
                path=peer.path,
                kind=peer.kind,
                status=peer.status,
                mailbox_depth=peer.mailbox_depth,
                current_message=peer.current_message if isinstance(peer, MailCell) else None,
            )
            for peer in peers
            if isinstance(peer, Cell)
        )

    def _last_words(self, reason: ExitReason) -> None:
        if not reason.is_normal and reason.kind != "killed":
            self.hub.emit(self.crash_report(reason))
        self._silence()
        unread = self._inbox.clear()
        self._bury([envelope for envelope in unread if not isinstance(envelope, ReplyTo | Signal)], reason)
        for envelope in unread:
            if isinstance(envelope, ReplyTo):
                envelope.fail(ActorDown(self.path, reason, started=False))
        if isinstance(self._current, ReplyTo):
            self._current.fail(ActorDown(self.path, reason, started=True))
        for request in list(self._deferred or ()):
            request.fail(ActorDown(self.path, reason, started=True))

    def _bury(self, unread: list[Cast | Info], reason: ExitReason) -> None:
        if unread:
            self.hub.emit(DeadLetters(self.path, reason, _types(unread)))
        for envelope in unread:
            self.hub.bury(letter(self.path, envelope, reason))


def letter(path: str, envelope: Cast | Info, reason: ExitReason) -> DeadLetter:
    """Give a message that nobody will read its form."""
    lane: Lane = "cast" if isinstance(envelope, Cast) else "info"
    return DeadLetter(path, lane, envelope.message, reason)


def _type_name(envelope: Envelope | None) -> str | None:
    return None if envelope is None else type(envelope.message).__qualname__


def _types(envelopes: Collection[Envelope]) -> dict[str, int]:
    return dict(Counter([type(envelope.message).__qualname__ for envelope in envelopes])) if envelopes else {}

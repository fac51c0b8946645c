"""The correspondence of an actor: what waits for it, what it is busy with, and whom it owes an answer.

All three are settled at its death, in the order in which the world may learn of it: the crash report, then those who
wait for answers. Requests that were never looked at fail as such, so that a retry is safe; the one being handled and
those whose answer was deferred fail as started.
"""

from collections import Counter
from dataclasses import replace
from typing import Any

from supervisors._call import ReplyTo
from supervisors._cell import Cell, Hub
from supervisors._child_spec import Mailbox
from supervisors._failure import where
from supervisors._host import HostCell
from supervisors._mailbox import Cast, Envelope, Inbox, Info, Signal
from supervisors._reasons import ExitReason
from supervisors.events import CrashReport, DeadLetters
from supervisors.exceptions import ActorDown
from supervisors.inspect import ActorInfo


class MailCell(HostCell):
    """A member that reads messages."""

    __slots__ = ("_busy_since", "_current", "_deferred", "_handled", "_inbox")

    def __init__(self, hub: Hub, path: str, child_id: str, parent: Cell | None, bound: Mailbox) -> None:
        super().__init__(hub, path, child_id, parent)
        self._inbox = Inbox(hub.backend, bound, path)
        self._current: Envelope | None = None
        self._busy_since = 0.0
        self._handled = 0
        self._deferred: set[ReplyTo[Any]] | None = None

    def accept(self, envelope: Cast | Info) -> bool:
        """Queue a message; False when it was refused."""
        if self.exit_reason is not None:
            self.hub.dead_letters += 1
            return False
        return self._inbox.offer(envelope)

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
            current_message=_type_name(current),
            busy_since=None if current is None else self._busy_since,
            handled=self._handled,
            dropped=self._inbox.dropped,
        )

    def crash_report(self, reason: ExitReason) -> CrashReport:
        """Describe a crash of this member, or of one of its helpers."""
        current = self._current
        caller = current.caller if isinstance(current, ReplyTo) else None
        return CrashReport(
            path=self.path,
            kind=self.kind,
            reason=reason,
            ancestors=self.ancestors(),
            mailbox_depth=len(self._inbox),
            last_message=_type_name(current),
            status=self.details(),
            client=None if caller is None else caller.path,
            stack=where(reason),
        )

    def _last_words(self, reason: ExitReason) -> None:
        if not reason.is_normal and reason.kind != "killed":
            self.hub.emit(self.crash_report(reason))
        unread = self._inbox.drain()
        self._bury([envelope for envelope in unread if not isinstance(envelope, ReplyTo)], reason)
        for envelope in unread:
            if isinstance(envelope, ReplyTo):
                envelope.fail(ActorDown(self.path, reason, started=False))
        if isinstance(self._current, ReplyTo):
            self._current.fail(ActorDown(self.path, reason, started=True))
        for request in list(self._deferred or ()):
            request.fail(ActorDown(self.path, reason, started=True))

    def _bury(self, unread: list[Cast | Info], reason: ExitReason) -> None:
        letters = Counter(
            type(envelope.message).__qualname__ for envelope in unread if not isinstance(envelope, Signal)
        )
        if letters:
            self.hub.dead_letters += letters.total()
            self.hub.emit(DeadLetters(self.path, reason, dict(letters)))


def _type_name(envelope: Envelope | None) -> str | None:
    return None if envelope is None else type(envelope.message).__qualname__

"""Finding the actor of a session, which is started when a request first asks for it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import anyio
import anyio.to_thread
import structlog
from msgspec.structs import replace

from supervisors import ActorDown, ActorRef, AlreadyStarted, SupervisorError, System, child_path, start_child
from wardwright.domain.errors import StorageUnavailable
from wardwright.domain.route import SessionFacts, StickyChoice
from wardwright.ports.storage import Capability, ReceiptStore
from wardwright.receipts.events import Entry
from wardwright.receipts.query import ReceiptFilter
from wardwright.receipts.session import facts_after, turn_of
from wardwright.runtime.checkpointer import StoreBoard
from wardwright.runtime.session import NextTurn, PeekTurn, RulesSpent, Served, SessionActor, session_spec
from wardwright.runtime.tree import sessions_path

_PATIENCE_S = 5.0
"""How long a session may take to be read off the store, and then to answer.

A session that has crashed says so at once, so this is waited for only where the disk or the machine is slow. A request that goes on alone
then may change the model in the middle of a conversation, which is worse than to be late; and its receipt waits for the same disk twice as
long (`runtime.receipt_writer`).
"""
_READERS = 2
_LONGEST_REQUEST_S = 3600.0
_AT_ONCE = 8
"""How many requests of a session before its newest are looked at, for they may have ended after that began."""
_PAGES_WITHOUT_TURN = 64
"""How many pages of `_AT_ONCE` are looked through for a receipt that has a turn. Where a session never answered, none has."""

_log = structlog.get_logger("wardwright.sessions")


class Sessions:
    """The sessions of all models. For the one event loop's use."""

    def __init__(self, system: System, store: StoreBoard) -> None:
        self._system = system
        self._store = store
        self._readers = anyio.CapacityLimiter(_READERS)
        self._starts: dict[str, Callable[[], SessionActor]] = {}

    async def next_turn(self, model_id: str, session_id: str | None) -> SessionFacts | None:
        """Count a request of a session; None without one.

        A session that cannot answer costs a request its turn and what it would stay on, and nothing else. It counts no request that has
        ceased to wait for it: the next one that it answers gets that turn.
        """
        if session_id is None:
            return None
        try:
            return await self._counted(model_id, session_id)
        except SupervisorError as error:
            _log.warning(
                "a request goes on without its session", model=model_id, session=session_id, problem=str(error)
            )
            return None

    async def _counted(self, model_id: str, session_id: str) -> SessionFacts:
        """Raises: SupervisorError when the session does not answer."""
        session = self._system.whereis(child_path(sessions_path(model_id), session_id))
        if session is None:
            session = await self._start(model_id, session_id)
        try:
            return await session.call(NextTurn(), timeout=_PATIENCE_S)
        except ActorDown as down:
            if down.started:
                raise
        # It ended with the request unread: killed, or given up by another that had begun to start it and left.
        session = await self._start(model_id, session_id)
        return await session.call(NextTurn(), timeout=_PATIENCE_S)

    async def peek(self, model_id: str, session_id: str | None) -> SessionFacts | None:
        """What the next request of a session would find, without being it; None without a session."""
        if session_id is None:
            return None
        session = self._system.whereis(child_path(sessions_path(model_id), session_id))
        try:
            if session is not None:
                return await session.call(PeekTurn(), timeout=_PATIENCE_S)
            known = await self._recall(model_id, session_id)
        except (SupervisorError, StorageUnavailable):
            known = None
        return SessionFacts() if known is None else replace(known, turn=known.turn + 1)

    def served(self, model_id: str, session_id: str, target: str, choices: Iterable[StickyChoice]) -> None:
        """Tell a session who served its request. Never waits."""
        path = child_path(sessions_path(model_id), session_id)
        self._system.named(path).cast(Served(target, tuple(choices)))

    def rules_spent(self, model_id: str, session_id: str, rule_ids: Iterable[str]) -> None:
        """Tell a session which of its stream rules have fired for good. Never waits."""
        path = child_path(sessions_path(model_id), session_id)
        self._system.named(path).cast(RulesSpent(tuple(rule_ids)))

    async def _start(self, model_id: str, session_id: str) -> ActorRef:
        start = self._starts.get(model_id)
        if start is None:  # one for all sessions of a model: what a passive one is made from is shared with its like
            start = self._starts[model_id] = partial(SessionActor, partial(self._recall, model_id))
        sessions = self._system.named(sessions_path(model_id))
        try:
            return await start_child(sessions, session_spec(session_id, start), timeout=_PATIENCE_S)
        except AlreadyStarted as already:
            ref: ActorRef = already.ref
            return ref

    async def _recall(self, model_id: str, session_id: str) -> SessionFacts | None:
        store = self._store.store
        if Capability.RUNTIME_HOT_STORE in store.capabilities and (
            store.newest_of_session(model_id, session_id) is None
        ):
            return None  # a new session, told without a thread
        return await anyio.to_thread.run_sync(_recalled, store, model_id, session_id, limiter=self._readers)


def _recalled(store: ReceiptStore, model_id: str, session_id: str) -> SessionFacts | None:
    """Read where a session stands off its newest receipt that has a turn, and off those that may have ended after that began."""
    newest = store.newest_of_session(model_id, session_id)
    if newest is None:
        return None
    of_session = ReceiptFilter(exact=(("model_id", model_id), ("session_id", session_id)), limit=_AT_ONCE)
    late: list[Sequence[Entry]] = []
    for entries in _newest_first(store, newest, of_session):
        turn = turn_of(entries)
        if turn is None:
            late.append(entries)
            continue
        if turn > 1:
            since = entries[0].at - _LONGEST_REQUEST_S
            before = replace(of_session, created_at_min=since, before=entries[0].receipt_id)
            late += (store.entries(earlier.receipt_id) for earlier in store.page(before).data)
        return facts_after(entries, late)
    return facts_after(late[-1], late[:-1]) if late else None


def _newest_first(store: ReceiptStore, newest: str, of_session: ReceiptFilter) -> Iterator[Sequence[Entry]]:
    """A session's receipts from its newest on, lazily read, and not all of very many; without those that are forgotten meanwhile."""
    yield from filter(None, [store.entries(newest)])
    wanted = replace(of_session, before=newest)
    for _ in range(_PAGES_WITHOUT_TURN):
        page = store.page(wanted)
        yield from filter(None, (store.entries(earlier.receipt_id) for earlier in page.data))
        if page.next_cursor is None:
            return
        wanted = wanted.going_on(page.next_cursor)

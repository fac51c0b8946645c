"""Finding the actor of a session, which is started when a request first asks for it."""

from collections.abc import Callable, Iterable
from functools import partial

import anyio
import anyio.to_thread
from msgspec.structs import replace

from supervisors import ActorRef, AlreadyStarted, SupervisorError, System, child_path, start_child
from wardwright.domain.errors import StorageUnavailable
from wardwright.domain.route import SessionFacts, StickyChoice
from wardwright.ports.storage import Capability, ReceiptStore
from wardwright.receipts.events import Opened
from wardwright.receipts.query import ReceiptFilter
from wardwright.receipts.session import facts_after
from wardwright.runtime.checkpointer import StoreBoard
from wardwright.runtime.session import NextTurn, PeekTurn, RulesSpent, Served, SessionActor, session_spec
from wardwright.runtime.tree import sessions_path

_PATIENCE_S = 1.0
_READERS = 2
_LONGEST_REQUEST_S = 3600.0
_AT_ONCE = 8
"""How many requests of a session before its newest are looked at, for they may have ended after that began."""


class Sessions:
    """The sessions of all models. For the one event loop's use."""

    def __init__(self, system: System, store: StoreBoard) -> None:
        self._system = system
        self._store = store
        self._readers = anyio.CapacityLimiter(_READERS)
        self._starts: dict[str, Callable[[], SessionActor]] = {}

    async def next_turn(self, model_id: str, session_id: str | None) -> SessionFacts | None:
        """Count a request of a session; None without one.

        A session that cannot answer costs a request its turn and what it would stay on, and nothing else.
        """
        if session_id is None:
            return None
        sessions = sessions_path(model_id)
        try:
            session = self._system.whereis(child_path(sessions, session_id))
            if session is None:
                session = await self._start(model_id, sessions, session_id)
            return await session.call(NextTurn(), timeout=_PATIENCE_S)
        except SupervisorError:
            return None

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

    async def _start(self, model_id: str, sessions: str, session_id: str) -> ActorRef:
        start = self._starts.get(model_id)
        if start is None:  # one for all sessions of a model: what a passive one is made from is shared with its like
            start = self._starts[model_id] = partial(SessionActor, partial(self._recall, model_id))
        try:
            return await start_child(self._system.named(sessions), session_spec(session_id, start), timeout=_PATIENCE_S)
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
    newest = store.newest_of_session(model_id, session_id)
    if newest is None:
        return None
    entries = store.entries(newest)
    opened = entries[0].event if entries else None
    if not isinstance(opened, Opened) or opened.session_turn == 1:
        return facts_after(entries)
    before = ReceiptFilter(
        exact=(("model_id", model_id), ("session_id", session_id)),
        created_at_min=entries[0].at - _LONGEST_REQUEST_S,
        limit=_AT_ONCE,
        before=newest,
    )
    return facts_after(entries, [store.entries(earlier.receipt_id) for earlier in store.page(before).data])

"""The gateway as the edge sees it: accept a request, list models, read receipts, look into the tree.

This is the whole surface between HTTP and the runtime; the edge imports nothing else of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeVar

import anyio
import anyio.to_thread
import msgspec

from supervisors import System
from wardwright.domain.caller import Caller
from wardwright.domain.chat import ChatRequest
from wardwright.domain.errors import NotFound, StorageUnavailable
from wardwright.domain.route import ModelDefinition
from wardwright.ports.provider import ProviderInfo
from wardwright.ports.storage import StoreHealth
from wardwright.receipts.fold import fold
from wardwright.receipts.query import Page, ReceiptFilter
from wardwright.receipts.receipt import Receipt
from wardwright.runtime.access import Access
from wardwright.runtime.admin import walk
from wardwright.runtime.answer_policy import AnswerPolicy, Standing
from wardwright.runtime.catalog_board import CatalogBoard
from wardwright.runtime.checkpointer import StoreBoard
from wardwright.runtime.control import ControlBoard
from wardwright.runtime.decision import decide
from wardwright.runtime.erasures import Erasures
from wardwright.runtime.exact import ExactCounts
from wardwright.runtime.facts import FactFinder
from wardwright.runtime.identity import mint_receipt_id
from wardwright.runtime.keys import Keys
from wardwright.runtime.opening import Opening
from wardwright.runtime.output_book import OutputBook
from wardwright.runtime.provider import ProviderBoard
from wardwright.runtime.responder import Responder
from wardwright.runtime.run import Run, RunParts, RunRequest
from wardwright.runtime.sessions import Sessions
from wardwright.runtime.sink_roster import SinkRoster, no_sinks
from wardwright.runtime.tree import SINKS
from wardwright.wire.caller import vouched_for

_READERS = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Boards:
    """What actors publish for everybody to read."""

    catalog: CatalogBoard
    store: StoreBoard
    control: ControlBoard
    providers: ProviderBoard
    sinks: SinkRoster = field(default_factory=no_sinks)


class Obstacle(msgspec.Struct, frozen=True):
    """What keeps a daemon from being ready: the check that fails, which anybody may know, and why, which is for operators.

    The detail is a sentence, which may name a folder or a database, and never a secret.
    """

    check: Literal["daemon", "models", "storage", "sinks", "actors"]
    detail: str


class Gateway:
    """The runtime's face. `keys` is what operators do with API keys. Safe for concurrent use from the one event loop."""

    def __init__(self, *, system: System, boards: Boards, parts: RunParts, exact_counts: ExactCounts) -> None:
        self._system = system
        self._boards = boards
        self._parts = parts
        self._readers = anyio.CapacityLimiter(_READERS)
        self.opening = Opening(parts.boot)
        self.facts = FactFinder(exact_counts, boards.providers.health, parts.ledger, now=system.now, draw=parts.draw)
        self.keys = Keys(system, boards.control, boards.catalog, parts.ledger)
        self.erasures = Erasures(system)
        self.sessions = Sessions(system, boards.store)
        self._access = Access(boards.control)
        self._ledger = parts.ledger
        self._live: dict[str, Run] = {}
        parts.metrics.live_runs.set_function(lambda: len(self._live))
        parts.metrics.event_watchers.set_function(lambda: parts.bus.watchers)
        parts.metrics.watch(boards.providers.health.gates().values)
        self._idle = anyio.Event()
        self._patience = anyio.CancelScope()
        self.is_draining = False

    @property
    def live_requests(self) -> int:
        """How many requests are being served."""
        return len(self._live)

    # --- serving ------------------------------------------------------------------------------------------------------

    def models(self) -> list[ModelDefinition]:
        """Every model a client may call, by id."""
        return self._boards.catalog.callable_models()

    def model(self, name: str) -> ModelDefinition:
        """One callable model by its name, with or without prefix. Raises: as `CatalogBoard.resolve`."""
        return self._boards.catalog.resolve(name)

    async def chat(
        self,
        request: ChatRequest,
        *,
        caller: Caller,
        request_id: str,
        responder: Responder,
        api_key: str | None = None,
        traceparent: str | None = None,
    ) -> None:
        """Decide and serve a chat request; the answer goes to `responder`. `api_key` is what the caller showed as one.

        Raises: WardwrightError: what the client is to be told. Once `responder.begin` was called the receipt exists.
        """
        if self._boards.sinks.closed_by is not None:
            raise StorageUnavailable(f"no request is taken on now: {self._boards.sinks.closed_by}")
        session_id = None if caller.session_id is None else caller.session_id.value
        route = self._boards.catalog.route(request.model, session_id, self._parts.draw)
        composition = route.composition
        definition = composition.root
        key = self._access.admit(definition, api_key)
        if key is not None:
            caller = vouched_for(caller, key.key_id, key.caller)
        outputs = OutputBook(composition, request)
        session = await self.sessions.next_turn(definition.id, session_id)
        receipt_id = mint_receipt_id()  # before anything else may wait: ids have the order of turns
        gathered = await self.facts.gather(composition, request, caller, session)
        decided = decide(composition, gathered.inputs, gathered.actions)
        again = partial(self.facts.decide_again, composition, decided.inputs)
        policy = AnswerPolicy(composition, session, again, outputs)
        asked = RunRequest(
            caller=caller,
            definition=definition,
            standing=Standing(request, decided.plan, decided.inputs.request),
            policy=policy,
            opened=self.opening.of(
                request,
                route=route,
                decided=decided,
                caller=caller,
                request_id=request_id,
                key_id=None if key is None else key.key_id,
                traceparent=traceparent,
                output=outputs.summary,
            ),
            receipt_id=receipt_id,
            request_id=request_id,
            traceparent=traceparent,
        )
        run = Run(asked, self._parts, responder)
        reservation = None if key is None else self._ledger.reserve(key, decided.plan, decided.inputs.request)
        self._live[receipt_id] = run
        try:
            await run.execute()
        finally:
            if session_id is not None and run.served_by is not None and decided.plan.sticky:
                self.sessions.served(definition.id, session_id, run.served_by, decided.plan.sticky)
            if session_id is not None and policy.newly_spent:
                self.sessions.rules_spent(definition.id, session_id, policy.newly_spent)
            if reservation is not None:
                self._ledger.settle(reservation, run.usage, run.cost_nano_usd)
            del self._live[receipt_id]
            if not self._live:
                self._idle.set()

    async def drain(self, seconds: float) -> None:
        """Let live runs finish for so long, then stop those that are left; each still closes its receipt and tells its client."""
        self.is_draining = True
        self._patience.deadline = self._system.now() + seconds
        with self._patience:
            await self._wait_idle()
        for run in list(self._live.values()):
            run.interrupt()
        await self._wait_idle()

    def hasten(self) -> None:
        """End the patience of a drain that is under way, or will be."""
        self._patience.cancel()

    async def _wait_idle(self) -> None:
        while self._live:
            self._idle = anyio.Event()
            await self._idle.wait()

    # --- receipts -----------------------------------------------------------------------------------------------------

    async def receipt(self, receipt_id: str) -> Receipt:
        """One receipt. Raises: NotFound, StorageUnavailable."""
        entries = await self._read(lambda: self._boards.store.store.entries(receipt_id))
        if not entries:
            raise NotFound(f"there is no receipt {receipt_id!r}", "receipt_not_found")
        return fold(entries)

    async def receipts(self, wanted: ReceiptFilter) -> Page:
        """A page of receipt summaries, newest first. Raises: StorageUnavailable."""
        return await self._read(lambda: self._boards.store.store.page(wanted))

    async def storage_health(self) -> StoreHealth:
        """What the receipt store says of itself. Raises: StorageUnavailable."""
        return await self._read(lambda: self._boards.store.store.health())

    async def _read(self, function: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(function, limiter=self._readers)

    # --- operation ----------------------------------------------------------------------------------------------------

    async def readiness(self) -> list[Obstacle]:
        """Everything that keeps the daemon from being ready; empty when it is."""
        found = []
        if self.is_draining:
            found.append(Obstacle("daemon", "the daemon is stopping"))
        if not self._boards.catalog.models:
            found.append(Obstacle("models", "no model is loaded"))
        try:
            await self._read(lambda: self._boards.store.store.check_writable())
        except StorageUnavailable as error:
            found.append(Obstacle("storage", error.message))
        if self._boards.sinks.closed_by is not None:
            found.append(Obstacle("sinks", self._boards.sinks.closed_by))
        return [*found, *(Obstacle("actors", words) for words in self.unhealthy_actors())]

    def unhealthy_actors(self) -> list[str]:
        """Permanent actors that are not running, in words. Sinks are in no request's way, and say for themselves how they are."""
        return [
            f"{node.path} is {node.status}"
            for node in walk(self._system.tree())
            if node.restart == "permanent" and node.status != "running" and not node.path.startswith(f"{SINKS}/")
        ]

    def providers(self) -> list[ProviderInfo]:
        """What operators may know of each provider."""
        return [slot.provider.info for _, slot in sorted(self._boards.providers.slots().items())]

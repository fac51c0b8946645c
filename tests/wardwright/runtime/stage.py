"""The gateway on a stage of virtual time: the real tree over real parts, with scripted providers and a store in memory.

Virtual time cannot see threads, so blocking work is done in the event loop's own (`InlineThreads`), at the place where the
thread's answer would be awaited; how long it takes is up to the test.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import anyio
import msgspec
import pytest
from anyio.lowlevel import checkpoint

from supervisors import Actor, System
from supervisors import Event as TreeEvent
from supervisors.testing import EventLog
from wardwright.config.settings import CannedSettings, Timeouts
from wardwright.domain.caller import Caller
from wardwright.domain.chat import ChatRequest
from wardwright.domain.errors import StorageUnavailable, WardwrightError
from wardwright.domain.route import Cascade, ModelDefinition, Target
from wardwright.domain.tokens import Tokenizer
from wardwright.planner.attempts import RetryPolicy
from wardwright.planner.breaker import BreakerPolicy
from wardwright.ports.provider import Provider
from wardwright.receipts.chain import verify
from wardwright.receipts.events import Closed, Entry, Event
from wardwright.runtime.admin import RuntimeView
from wardwright.runtime.bus import Bus
from wardwright.runtime.catalog_board import CatalogBoard, activate
from wardwright.runtime.checkpointer import Checkpointer, Logs, StoreBoard
from wardwright.runtime.control import ControlBoard
from wardwright.runtime.edge import Edge
from wardwright.runtime.exact import ExactCounts
from wardwright.runtime.gate import Gate
from wardwright.runtime.gateway import Boards, Gateway
from wardwright.runtime.ledger import Ledger
from wardwright.runtime.metrics import Metrics
from wardwright.runtime.provider import ProviderActor, ProviderBoard
from wardwright.runtime.responder import Responder
from wardwright.runtime.roster import ProviderPart, ProviderRoster
from wardwright.runtime.run import RunParts
from wardwright.runtime.tree import ROOT, RUNS, build_tree
from wardwright.runtime.tree_facts import fact_of_tree
from wardwright.runtime.worker import Worker
from wardwright.storage.control import MemoryControlLog
from wardwright.storage.memory import MemoryReceiptStore
from wardwright.wire.openai import parse_chat_request

T = TypeVar("T")

BOOT = "boot_of_this_test"
TIMEOUTS = Timeouts(connect=5, first_token=60, idle=30, total=600)
AT_ONCE = RetryPolicy(attempts=1)
TOLERANT = BreakerPolicy(failures=1000)


class InlineThreads:
    """Stands in for `anyio.to_thread.run_sync` and for workers. `takes_s` is the virtual time each piece of work takes."""

    def __init__(self) -> None:
        self.takes_s = 0.0
        self._limiters = WeakKeyDictionary[Worker, anyio.CapacityLimiter]()

    async def run_in_worker(self, worker: Worker, work: Callable[[], T]) -> T:
        """As `Worker.run` does: one piece after the other."""
        return await self.run_sync(work, limiter=self._limiters.setdefault(worker, anyio.CapacityLimiter(1)))

    async def run_sync(
        self, work: Callable[..., T], *args: Any, limiter: anyio.CapacityLimiter | None = None, **_: Any
    ) -> T:
        await checkpoint()
        async with limiter or nullcontext():
            shield = anyio.CancelScope(shield=True)  # a thread cannot be interrupted
            with shield:
                await anyio.sleep(self.takes_s)
            return work(*args)


def inline_threads(monkeypatch: pytest.MonkeyPatch) -> InlineThreads:
    threads = InlineThreads()
    monkeypatch.setattr("anyio.to_thread.run_sync", threads.run_sync)
    monkeypatch.setattr(Worker, "run", lambda worker, work: threads.run_in_worker(worker, work))
    return threads


class ScriptedStore(MemoryReceiptStore):
    """The memory store as a disk that can fail, and that is still there when it is opened again."""

    def __init__(self) -> None:
        super().__init__()
        self.appends: list[tuple[bytes, ...]] = []
        self.closes = 0
        self.refuses: Callable[[Sequence[bytes]], Exception | None] = lambda payloads: None

    def append(self, payloads: Sequence[bytes]) -> None:
        refusal = self.refuses(payloads)
        if refusal is not None:
            raise refusal
        super().append(payloads)
        self.appends.append(tuple(payloads))

    def close(self) -> None:
        self.closes += 1

    def fail_always(self, message: str = "the disk is full") -> None:
        self.refuses = lambda payloads: StorageUnavailable(message)

    def fail_at(self, *calls: int) -> None:
        """Let the n-th `append` fail, counting from 1."""
        numbers = count(1)
        self.refuses = lambda payloads: StorageUnavailable("the disk is full") if next(numbers) in calls else None

    def heal(self) -> None:
        self.refuses = lambda payloads: None

    def events(self, receipt_id: str) -> list[Event]:
        return [entry.event for entry in self.entries(receipt_id)]

    def all_receipts(self) -> list[tuple[Entry, ...]]:
        return list(self.newest())

    def closing(self, receipt_id: str) -> Closed:
        """The closing fact of a receipt, which must be whole, closed once and closed last."""
        assert verify(self.payloads(receipt_id)) is None
        events = self.events(receipt_id)
        closings = [event for event in events if isinstance(event, Closed)]
        assert len(closings) == 1, events
        assert events[-1] is closings[0]
        return closings[0]


class QuietGeneration:
    """An HTTP server that nobody connects to."""

    def __init__(self) -> None:
        self.is_retired = False
        self._ended = anyio.Event()

    async def serving(self) -> None:
        await self._ended.wait()

    def retire(self) -> None:
        self.is_retired = True

    def end(self) -> None:
        self._ended.set()


@dataclass
class Stage:
    """Everything a test may look at or pull."""

    system: System
    boards: Boards
    gateway: Gateway
    view: RuntimeView
    metrics: Metrics
    store: ScriptedStore
    bus: Bus
    events: EventLog
    generations: list[QuietGeneration]

    async def ask(self, responder: Responder, *, stream: bool = True, caller: Caller | None = None) -> None:
        """Send a chat request. Raises: what the client would be told."""
        await self.gateway.chat(
            chat_request(stream=stream), caller=caller or Caller(), request_id="req_1", responder=responder
        )

    async def ask_for_error(self, responder: Responder, *, stream: bool = True) -> WardwrightError:
        """Send a chat request that must fail."""
        with pytest.raises(WardwrightError) as caught:
            await self.ask(responder, stream=stream)
        return caught.value

    def kill(self, path: str) -> None:
        ref = self.system.whereis(path)
        assert ref is not None, f"{path} is not running"
        ref.kill()

    def details(self, path: str) -> dict[str, Any]:
        ref = self.system.whereis(path)
        assert ref is not None, f"{path} is not running"
        return dict(ref.info().details)

    def live_runs(self) -> list[str]:
        runs = self.system.tree().find(RUNS)
        assert runs is not None
        return [child.path for child in runs.children]

    def leases(self) -> int:
        return sum(slot.leases for slot in self.boards.providers.slots().values())

    def gate(self, provider_id: str) -> Gate:
        return self.boards.providers.health.gate(provider_id)

    def permits(self) -> int:
        """Permits that somebody has or waits for."""
        gates = self.boards.providers.health.gates().values()
        return sum(gate.permits.in_use + gate.permits.waiting for gate in gates)


@asynccontextmanager
async def stage(
    *providers: Provider,
    definition: ModelDefinition | None = None,
    store: ScriptedStore | None = None,
    timeouts: Timeouts = TIMEOUTS,
    timeouts_of: Mapping[str, Timeouts] | None = None,
    retry: RetryPolicy = AT_ONCE,
    breaker: BreakerPolicy = TOLERANT,
    max_concurrency: int = 64,
    jitter: float = 0.0,
    drain_seconds: float = 30.0,
) -> AsyncIterator[Stage]:
    """Run a tree whose one model `test-model` is a cascade over one target per provider, and a gateway before it."""
    models = [definition or cascade(*(provider.info.id for provider in providers))]
    bus = Bus(BOOT, now=lambda: 1_800_000_000.0)
    boards = Boards(CatalogBoard(), StoreBoard(bus.tell), ControlBoard(bus.tell), ProviderBoard(bus.tell))
    store = store or ScriptedStore()
    control = MemoryControlLog()
    events = EventLog()
    metrics = Metrics()
    generations: list[QuietGeneration] = []
    ledger = Ledger(now=lambda: 1_800_000_000.0)

    def start_generation() -> QuietGeneration:
        generations.append(QuietGeneration())
        return generations[-1]

    async def drain() -> None:
        bus.close()
        await gateway.drain(drain_seconds)

    def observe(event: TreeEvent) -> None:
        events(event)
        fact = fact_of_tree(event)
        if fact is not None:
            bus.tell(fact)

    tree = build_tree(
        checkpointer=partial(
            Checkpointer,
            Logs(lambda: store, lambda: control),
            board=boards.store,
            control=boards.control,
            ledger=ledger,
            health=boards.providers.health,
            boot=BOOT,
            now=lambda: 1_800_000_000.0,
        ),
        catalog=partial(FixedCatalog, models, boards.catalog),
        providers=ProviderRoster(
            _part(
                provider,
                boards.providers,
                timeouts=(timeouts_of or {}).get(provider.info.id, timeouts),
                retry=retry,
                breaker=breaker,
                max_concurrency=max_concurrency,
            )
            for provider in providers
        ),
        models=boards.catalog,
        edge=lambda: Edge(start=start_generation, drain=drain, url="http://test"),
        drain_seconds=drain_seconds,
    )
    system = System(ROOT, tree, on_event=observe, shutdown_budget=300.0)
    parts = RunParts(
        system=system,
        providers=boards.providers,
        metrics=metrics,
        boot=BOOT,
        ledger=ledger,
        bus=bus,
        jitter=lambda: jitter,
    )
    gateway = Gateway(system=system, boards=boards, parts=parts, exact_counts=ExactCounts(LetterCounter()))
    view = RuntimeView(system, boards.catalog, boards.providers, boot=BOOT)
    async with system:
        yield Stage(system, boards, gateway, view, metrics, store, bus, events, generations)


def board_of(*definitions: ModelDefinition) -> CatalogBoard:
    """A board with these models."""
    board = CatalogBoard()
    board.replace(activate({definition.id: definition for definition in definitions}))
    return board


class FixedCatalog(Actor):
    """A catalog whose models are given as definitions, and never change."""

    def __init__(self, definitions: Sequence[ModelDefinition], board: CatalogBoard) -> None:
        self._definitions = definitions
        self._board = board

    async def init(self) -> None:
        self._board.replace(activate({definition.id: definition for definition in self._definitions}))


class LetterCounter:
    """A `TokenCounter` by which every character is a token; `loaded` says which vocabularies were asked for."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def load(self, tokenizer: Tokenizer) -> None:
        self.loaded.append(tokenizer)

    def count(self, tokenizer: Tokenizer, text: str) -> int:
        return len(text)


def cascade(*provider_ids: str, max_attempts: int = 4, window: int = 8192) -> ModelDefinition:
    """A model that asks one target of each provider, in this order."""
    targets = tuple(Target(f"{name}/m", name, f"{name}-upstream", window) for name in provider_ids)
    selector = Cascade("in-order", tuple(target.id for target in targets))
    return ModelDefinition("test-model", "v1", "in-order", (selector,), targets, max_attempts=max_attempts)


def chat_request(*, stream: bool = True, **fields: object) -> ChatRequest:
    body = {"model": "test-model", "messages": [{"role": "user", "content": "hi"}], "stream": stream, **fields}
    return parse_chat_request(msgspec.json.encode(body))


def event_names(events: Sequence[Event]) -> list[str]:
    """What happened, in the log's own words."""
    return [str(event.__struct_config__.tag) for event in events]


def suspensions() -> Iterator[int]:
    """The numbers of the suspensions to interrupt in turn; bounded, so that a sweep which never ends is a failure."""
    yield from range(1, 300)
    raise AssertionError("the request never ran to its end")


def _part(provider: Provider, board: ProviderBoard, **settings_of: Any) -> ProviderPart:
    settings = CannedSettings(id=provider.info.id, outputs=("unused",), **settings_of)
    return ProviderPart(provider.info.id, partial(ProviderActor, settings, build=lambda system: provider, board=board))

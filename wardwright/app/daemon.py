"""The daemon: binds the socket, grows the tree, waits for a reason to stop, and stops in order."""

import gc
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.abc
import structlog

from supervisors import ExitReason, StartFailed, System
from wardwright.app.banner import Announcement, option_to_reach, own_command
from wardwright.app.files import weights_needed
from wardwright.app.log import LogFormat, TreeLog, configure_logging
from wardwright.app.parts import provider_part
from wardwright.app.sinks import sink_of
from wardwright.app.storage import storage_of
from wardwright.app.watch import config_changes
from wardwright.config.address import parse_bind
from wardwright.config.inline_artifact import OLLAMA_URL
from wardwright.config.load import BIND_VARIABLE, Loaded
from wardwright.config.problems import ConfigError
from wardwright.config.settings import CannedSettings, ProviderBase, Settings
from wardwright.config.sinks import SinkBase
from wardwright.domain.errors import WardwrightError
from wardwright.edge.app import EdgeOptions, build_app
from wardwright.edge.inline import InlineOptions
from wardwright.edge.server import CannotBind, HttpServer, bind
from wardwright.ports.storage import Capability
from wardwright.runtime.admin import RuntimeView
from wardwright.runtime.bell import Bell
from wardwright.runtime.bus import Bus
from wardwright.runtime.catalog import Catalog, CatalogParts
from wardwright.runtime.catalog_board import CatalogBoard
from wardwright.runtime.catalog_desk import CatalogDesk
from wardwright.runtime.checkpointer import Checkpointer, Logs, StoreBoard
from wardwright.runtime.config_board import ConfigBoard
from wardwright.runtime.config_watch import ConfigWatch, follow
from wardwright.runtime.control import ControlBoard
from wardwright.runtime.decision_desk import DecisionDesk
from wardwright.runtime.edge import Edge
from wardwright.runtime.event_desk import EventDesk
from wardwright.runtime.exact import ExactCounts
from wardwright.runtime.gateway import Boards, Gateway
from wardwright.runtime.identity import mint_boot_id
from wardwright.runtime.ledger import Ledger
from wardwright.runtime.metrics import Metrics
from wardwright.runtime.pace import Pace
from wardwright.runtime.provider import ProviderBoard
from wardwright.runtime.retention import Terms
from wardwright.runtime.roster import ProviderPart, ProviderRoster
from wardwright.runtime.run import RunParts
from wardwright.runtime.sink import SinkActor
from wardwright.runtime.sink_desk import SinkDesk
from wardwright.runtime.sink_line import SinkLine
from wardwright.runtime.sink_roster import SinkPart, SinkRoster
from wardwright.runtime.transient import TransientBoard
from wardwright.runtime.tree import ROOT, build_tree
from wardwright.runtime.versions import Versions
from wardwright.tokens.splintr_counter import SplintrCounter

_CONNECTIONS_CLOSE_S = 2.0
_STOP_BUDGET_S = 45.0
_DAY_S = 86_400.0

_log = structlog.get_logger("wardwright")


class CannotStart(WardwrightError):
    """The daemon cannot start, for a reason the operator can mend."""

    code = "cannot_start"


def run_daemon(loaded: Loaded, *, log_format: LogFormat = "text", reload: Callable[[], Loaded] | None = None) -> int:
    """Run until a signal or a fatal fault; returns the exit code: 0 after an orderly stop, 1 when the tree gave up.

    `reload` reads the configuration again and raises ConfigError; without it the daemon goes on as it began.

    Raises: CannotStart with one sentence for a mistake the operator can mend; ConfigError when the configuration contradicts what was
    published before.
    """
    configure_logging(log_format)
    settings = loaded.settings
    for warning in loaded.warnings:
        _log.warning(str(warning))
    for name in weights_needed(settings):
        _log.warning(f"the weights {name!r} are not here, so their targets cannot answer: run `wardwright models pull`")
    address = parse_bind(settings.server.bind)
    if address is None:
        raise CannotStart(f"cannot listen on {settings.server.bind!r}: expected host:port")
    try:
        listener = bind(address.host, address.port)
    except CannotBind as error:
        hint = (
            f"; perhaps another daemon is there: stop it, or choose a port by {BIND_VARIABLE}" if error.is_taken else ""
        )
        raise CannotStart(f"{error}{hint}") from error
    options = {"use_uvloop": True} if settings.runtime.backend == "asyncio" and sys.platform != "win32" else {}
    with listener:
        return anyio.run(
            Daemon(loaded, listener, log_format, reload).run,
            backend=settings.runtime.backend,
            backend_options=options,
        )


class Daemon:
    """One daemon on one listening socket."""

    def __init__(
        self,
        loaded: Loaded,
        listener: socket.socket,
        log_format: LogFormat,
        reload: Callable[[], Loaded] | None = None,
    ) -> None:
        self._boot = mint_boot_id()
        self._bus = bus = Bus(self._boot)
        self._config = ConfigBoard(loaded, bus.tell)
        self._reload = reload or (lambda: loaded)
        self._settings = loaded.settings
        self._storage = storage_of(loaded.settings)
        self._listener = listener
        self._log_format = log_format
        self._began = time.monotonic()
        self._url = _url_of(listener)
        self._metrics = Metrics()
        self._tree_log = TreeLog(self._metrics, bus.tell)
        self._asked_to_stop = anyio.Event()
        self._gateway: Gateway | None = None
        self._desk: CatalogDesk | None = None
        self._exact_counts = ExactCounts(SplintrCounter())
        self._ledger = Ledger(now=time.time)
        store = StoreBoard(bus.tell)
        self._sinks = SinkRoster(
            partial(_sink_line, store), partial(_sink_actor, store.appended), self._settings.sinks, tell=bus.tell
        )
        self._boards = Boards(CatalogBoard(), store, ControlBoard(bus.tell), ProviderBoard(bus.tell), self._sinks)
        self._versions = Versions(self._boards.control, TransientBoard())
        self._roster = ProviderRoster(self._part(provider, self._settings) for provider in self._settings.providers)

    async def run(self) -> int:
        """Grow the tree, serve, stop in order. Raises: CannotStart, ConfigError."""
        refusal: StartFailed | None = None
        reason: ExitReason | None = None
        async with anyio.create_task_group() as signals:
            await signals.start(self._heed_signals)
            async with anyio.create_task_group() as host:
                try:
                    system = self._plant(host)
                    async with system:
                        _spare_the_collector()
                        self._tree_log.is_starting = False
                        self._announce()
                        reason = await self._wait_for_the_end(system)
                except StartFailed as failed:
                    refusal = failed
                # connections that outlive their requests have this long to close
                host.cancel_scope.deadline = anyio.current_time() + _CONNECTIONS_CLOSE_S
            signals.cancel_scope.cancel()
        if refusal is not None:
            raise _cause_of(refusal) from refusal
        if reason is None:
            _log.info("stopped")
            return 0
        _log.error("the supervision tree gave up; see the crash reports above", reason=str(reason))
        return 1

    def _plant(self, host: anyio.abc.TaskGroup) -> System:
        """The tree, not yet growing, and the gateway in front of it."""
        settings, boards = self._settings, self._boards
        tree = build_tree(
            checkpointer=partial(
                Checkpointer,
                Logs(self._storage.open, self._storage.open_control),
                board=boards.store,
                control=boards.control,
                ledger=self._ledger,
                health=boards.providers.health,
                boot=self._boot,
                now=time.time,
                terms=_terms(settings),
            ),
            catalog=partial(Catalog, self._catalog_parts()),
            sinks=self._sinks,
            providers=self._roster,
            models=boards.catalog,
            watch=(lambda: ConfigWatch(self._changes, desk)) if self._config.loaded.file is not None else None,
            edge=lambda: Edge(start=server.start, drain=drain, url=self._url, beside=app.pings.run),
            drain_seconds=settings.server.drain_seconds,
        )
        budget = settings.server.drain_seconds + _STOP_BUDGET_S
        system = System(ROOT, tree, on_event=self._tree_log, shutdown_budget=budget)
        desk = self._desk = CatalogDesk(system, board=boards.catalog, versions=self._versions)
        parts = RunParts(
            system=system,
            providers=boards.providers,
            metrics=self._metrics,
            boot=self._boot,
            ledger=self._ledger,
            bus=self._bus,
        )
        gateway = self._gateway = Gateway(system=system, boards=boards, parts=parts, exact_counts=self._exact_counts)
        sinks = SinkDesk(system, self._sinks, now=time.time)
        self._metrics.sinks.watch(sinks.list)
        app = build_app(
            gateway,
            RuntimeView(system, boards.catalog, boards.providers, boot=self._boot),
            desk,
            DecisionDesk(
                gateway.sessions,
                board=boards.catalog,
                versions=self._versions,
                facts=gateway.facts,
                opening=gateway.opening,
            ),
            EventDesk(system, self._bus),
            sinks,
            self._metrics,
            options=EdgeOptions(
                admin_token=os.environ.get(settings.server.admin_token_env) or None,
                max_body_bytes=settings.server.max_body_bytes,
                ping_s=settings.server.ping_seconds,
                inline=_inline_options(),
            ),
        )
        server = HttpServer(
            app, self._listener, host, backend=settings.runtime.backend, stall_s=settings.server.stall_seconds
        )

        async def drain() -> None:
            self._listener.close()  # the edge stops for good: who comes now is refused at once and may ask elsewhere
            server.leave()
            self._bus.close()
            await gateway.drain(settings.server.drain_seconds)

        return system

    def _changes(self) -> AsyncGenerator[None, None]:
        return config_changes(self._config, os.environ)

    def _part(self, provider: ProviderBase, settings: Settings, before: ProviderPart | None = None) -> ProviderPart:
        return provider_part(provider, settings, self._boards.providers, before)

    def _catalog_parts(self) -> CatalogParts:
        boards = self._boards
        return CatalogParts(
            config=self._config,
            control=boards.control,
            board=boards.catalog,
            versions=self._versions,
            roster=self._roster,
            providers=boards.providers,
            exact_counts=self._exact_counts,
            load=self._reload,
            make_part=self._part,
            sinks=self._sinks,
        )

    async def _heed_signals(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """The first signal asks for an orderly stop; the next one ends its patience with live requests. SIGHUP is no such signal."""
        async with anyio.create_task_group() as following:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
                task_status.started()
                async for number in signals:
                    name = signal.Signals(number).name
                    if number == signal.SIGHUP:
                        if self._desk is not None:
                            following.start_soon(follow, self._desk)
                        continue
                    live = 0 if self._gateway is None else self._gateway.live_requests
                    if not self._asked_to_stop.is_set():
                        self._say_stopping(name, live)
                        self._asked_to_stop.set()
                    elif self._gateway is not None:
                        _log.warning("stopping now: live requests are cut", signal=name, live_requests=live)
                        self._gateway.hasten()

    def _say_stopping(self, signal_name: str, live: int) -> None:
        if not live:
            _log.info("stopping", signal=signal_name)
            return
        _log.info(
            "stopping: live requests may finish, a second signal cuts them",
            signal=signal_name,
            live_requests=live,
            within_s=self._settings.server.drain_seconds,
        )

    async def _wait_for_the_end(self, system: System) -> ExitReason | None:
        """None when a signal asked for the end, the reason when the tree ended by itself."""
        reason: ExitReason | None = None

        async def watch_tree(scope: anyio.CancelScope) -> None:
            nonlocal reason
            reason = await system.wait_stopped()
            scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch_tree, tasks.cancel_scope)
            await self._asked_to_stop.wait()
            tasks.cancel_scope.cancel()
        return reason

    def _announce(self) -> None:
        settings = self._settings
        host, port = self._listener.getsockname()[:2]
        ready = Announcement(
            url=self._url,
            models=sorted(self._boards.catalog.models),
            receipts=self._storage.where
            if Capability.DURABLE in self._storage.capabilities
            else f"{self._storage.where}: gone when the daemon stops",
            source=self._config.loaded.source,
            took_s=round(time.monotonic() - self._began, 2),
            demo=[provider.id for provider in settings.providers if isinstance(provider, CannedSettings)],
            command=own_command(),
            reach=option_to_reach(self._url, host, port, os.environ, Path.cwd()),
        )
        if self._log_format == "text":
            sys.stderr.write(str(ready))
            sys.stderr.flush()
            return
        _log.info(
            "ready",
            url=ready.url,
            models=ready.models,
            receipts=ready.receipts,
            config=ready.source,
            took_s=ready.took_s,
        )
        if ready.demo:
            _log.warning("canned answers, no language model: these providers only demonstrate", providers=ready.demo)


def _sink_line(store: StoreBoard, settings: SinkBase) -> SinkLine:
    return SinkLine(
        settings,
        sink_of(settings),
        store=lambda: store.store,
        appended=lambda: store.entries_appended,
        now=time.time,
        pace=Pace(),
    )


def _sink_actor(appended: Bell, part: SinkPart, roster: SinkRoster) -> SinkActor:
    return SinkActor(part, roster, bell=appended, now=time.time)


def _terms(settings: Settings) -> Terms:
    """How long things are kept."""
    kept = settings.storage.retention
    days = (kept.receipts_days, kept.content_days, kept.events_days)
    return Terms(*(None if one is None else one * _DAY_S for one in days))


def _inline_options() -> InlineOptions:
    """What tests may do here. Nothing, unless the environment says so: such a model calls whatever address it likes."""
    return InlineOptions(
        is_allowed=os.environ.get("WARDWRIGHT_ALLOW_TEST_CONFIG") == "1",
        credentials_allowed=os.environ.get("WARDWRIGHT_ALLOW_TEST_CREDENTIALS") == "1",
        ollama_url=os.environ.get("OLLAMA_BASE_URL") or OLLAMA_URL,
    )


def _spare_the_collector() -> None:
    """Leave what the start has built out of every later collection, and collect by hundreds of requests, not by a few.

    A request makes no cycles worth hurrying for; the default thresholds were measured to cost several percent of its CPU time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _cause_of(failed: StartFailed) -> WardwrightError:
    """Whatever kept the tree from starting, for the operator: problems of the configuration, or the innermost reason's sentence."""
    cause: object = failed
    while isinstance(cause, StartFailed):
        failed, cause = cause, cause.reason.error or cause.reason.detail
    if isinstance(cause, ConfigError):
        return cause
    return CannotStart(cause.message if isinstance(cause, WardwrightError) else str(failed))

"""The catalog as operators see it: every model through time, read from the boards, and decisions, asked of the catalog's actor."""

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec

from supervisors import ActorDown, Call, CallTimeout, MailboxFull, System
from wardwright.config.artifact import Defined, concise
from wardwright.config.inline_artifact import InlineModel
from wardwright.domain.control import Source
from wardwright.domain.control_state import ModelHistory, Step, Version
from wardwright.domain.errors import ActorRestarting
from wardwright.domain.route import MODEL_PREFIX, ModelDefinition
from wardwright.planner.graph import kind_of
from wardwright.runtime.catalog_board import CatalogBoard
from wardwright.runtime.catalog_calls import AddDraft, PlaceInline, Publish, Reload, Retire, RollBack, SetCanary
from wardwright.runtime.transient import Guest
from wardwright.runtime.tree import CATALOG
from wardwright.runtime.versions import Versions

ModelStatus = Literal["active", "broken", "draft", "retired"]
VersionState = Literal["active", "canary", "draft", "superseded"]

_PATIENCE_S = 30.0
_TRIES = 3
_IN_DOUBT = "the catalog crashed over this and the outcome is not known: look at the model's versions, then ask again"
_LATE = f"the catalog took more than {_PATIENCE_S:g} s and the outcome is not known: look at the model's versions, then ask again"
_BEGINNINGS = ("published", "rolled_back")

R = TypeVar("R")


class CanaryView(msgspec.Struct, frozen=True):
    """The version on trial, and the share of sessions it has."""

    version: str
    percent: float


class ModelSummary(msgspec.Struct, frozen=True):
    """A model as a list shows it. What describes a version is that of the active one, and null where there is none."""

    id: str
    public_model_id: str
    status: ModelStatus
    active_version: str | None
    content: str | None
    source: Source | Literal["test"] | None
    canary: CanaryView | None
    description: str | None
    route_type: str | None
    access: Literal["public", "internal"] | None
    version_count: int
    changed_at: float | None
    problem: str | None


class VersionSummary(msgspec.Struct, frozen=True):
    """A version as a list shows it. `published_at` is when it last began to answer everybody, `percent` its share as a canary."""

    version: str
    content: str
    source: Source
    state: VersionState
    added_at: float
    published_at: float | None
    percent: float | None


class GraphNode(msgspec.Struct, frozen=True):
    """A selector of a route graph: what it leads to, and what else it was told."""

    id: str
    kind: str
    members: tuple[str, ...]
    settings: Mapping[str, Any]


class GraphTarget(msgspec.Struct, frozen=True):
    """A target of a route graph."""

    id: str
    provider: str
    upstream_model: str
    context_window: int


class RouteGraphView(msgspec.Struct, frozen=True):
    """A route graph: where it begins, its selectors and its targets."""

    root: str
    nodes: tuple[GraphNode, ...]
    targets: tuple[GraphTarget, ...]


class VersionDetail(msgspec.Struct, frozen=True):
    """A version with all it says: its artifact, as a draft of it would be sent, and the graph that this amounts to."""

    model_id: str
    summary: VersionSummary
    artifact: Mapping[str, Any]
    route_graph: RouteGraphView


class VersionList(msgspec.Struct, frozen=True):
    """Every version of a model, and everything that happened to it; both newest first."""

    data: tuple[VersionSummary, ...]
    history: tuple[Step, ...]


class CatalogDesk:
    """Answers the admin API. Reads are synchronous and ask nobody."""

    def __init__(self, system: System, *, board: CatalogBoard, versions: Versions) -> None:
        self._system = system
        self._board = board
        self._versions = versions

    def models(self) -> list[ModelSummary]:
        """Every model that was ever defined, by id, and those that are there for tests."""
        histories = {history.model_id: history for history in self._versions.histories()}
        for name in self._versions.transient.state.models:
            histories.setdefault(name, ModelHistory(name))
        return [self._summary(history) for _, history in sorted(histories.items())]

    def model(self, model_id: str) -> ModelSummary:
        """One model, with or without its prefix. Raises: NotFound."""
        return self._summary(self._history(model_id))

    def versions(self, model_id: str) -> VersionList:
        """A model's versions and its history. Raises: NotFound."""
        history = self._history(model_id)
        listed = [_version_summary(history, version) for version in history.versions.values()]
        return VersionList(tuple(reversed(listed)), tuple(reversed(history.steps)))

    def version(self, model_id: str, version: str | None = None) -> VersionDetail:
        """One version, the active one by default. Raises: NotFound, ConfigError when this release cannot read it."""
        history = self._history(model_id)
        found = self._versions.active(history) if version is None else self._versions.version(history.model_id, version)
        defined = self._versions.defined(history.model_id, found)
        return VersionDetail(
            history.model_id, _version_summary(history, found), concise(defined.artifact), _graph(defined)
        )

    async def draft(self, model_id: str, artifact: Mapping[str, Any]) -> tuple[VersionSummary, bool]:
        """Keep a next version; True tells that it is new. Raises: ConfigError, Conflict, StorageUnavailable, ActorRestarting."""
        model_id = model_id.removeprefix(MODEL_PREFIX)
        drafted = await self._ask(AddDraft(model_id, artifact), bears_repetition=True)
        history = self._versions.history(model_id)
        return _version_summary(history, history.versions[drafted.version]), drafted.is_new

    async def publish(self, model_id: str, version: str, *, instead_of: str | None = None) -> ModelSummary:
        """Let a version answer. Raises: NotFound, Conflict, ConfigError, StorageUnavailable, ActorRestarting."""
        model_id = self._history(model_id).model_id
        await self._ask(Publish(model_id, version, instead_of), bears_repetition=instead_of is None)
        return self.model(model_id)

    async def set_canary(self, model_id: str, version: str, percent: float) -> ModelSummary:
        """Give a version a share of the sessions, or take it back. Raises: as `publish`."""
        model_id = self._history(model_id).model_id
        await self._ask(SetCanary(model_id, version, percent), bears_repetition=True)
        return self.model(model_id)

    async def roll_back(self, model_id: str, undo: str | None = None) -> ModelSummary:
        """Undo the last step, if it is the one named. Raises: as `publish`."""
        model_id = self._history(model_id).model_id
        await self._ask(RollBack(model_id, undo))
        return self.model(model_id)

    async def retire(self, model_id: str) -> ModelSummary:
        """Serve a model no more. Raises: as `publish`."""
        model_id = self._history(model_id).model_id
        await self._ask(Retire(model_id))
        return self.model(model_id)

    async def place_inline(self, model: InlineModel) -> ModelDefinition:
        """Put a model for tests before the published one of its name. Raises: InvalidTestConfig, ActorRestarting."""
        return await self._ask(PlaceInline(model), bears_repetition=True)

    async def reload(self) -> None:
        """Have the configuration read again, for as long as it takes: nobody asks again for one who has given up.

        Raises: ConfigError, StorageUnavailable, ActorRestarting.
        """
        await self._ask(Reload(), bears_repetition=True, patience_s=math.inf)

    async def _ask(self, request: Call[R], *, bears_repetition: bool = False, patience_s: float = _PATIENCE_S) -> R:
        """Have the catalog decide; when it dies over it, once more where that cannot do anything twice."""
        for tries_left in reversed(range(_TRIES)):
            try:
                return await self._system.named(CATALOG).call(request, timeout=patience_s)
            except ActorDown as down:
                if not down.started:
                    raise ActorRestarting("the catalog is restarting and was not back in time") from down
                if not bears_repetition or not tries_left:
                    raise ActorRestarting(_IN_DOUBT) from down
            except CallTimeout as slow:
                raise ActorRestarting(_LATE if slow.started else "the catalog is busy") from slow
            except MailboxFull as full:
                raise ActorRestarting("more is waiting for the catalog than it may queue") from full
        raise ActorRestarting(_IN_DOUBT)

    def _history(self, model_id: str) -> ModelHistory:
        plain = model_id.removeprefix(MODEL_PREFIX)
        if plain in self._versions.transient.state.models:
            return self._versions.known(plain) or ModelHistory(plain)
        return self._versions.history(plain)

    def _summary(self, history: ModelHistory) -> ModelSummary:
        guest = self._versions.transient.state.models.get(history.model_id)
        if guest is not None:
            return _guest_summary(history, guest)
        active, canary = history.active, history.canary
        activation = self._board.models.get(history.model_id)
        definition = None if activation is None else activation.definition
        problem = self._board.broken.get(history.model_id)
        return ModelSummary(
            id=history.model_id,
            public_model_id=f"{MODEL_PREFIX}{history.model_id}",
            status=_status(history, problem),
            active_version=None if active is None else active.version,
            content=None if active is None else active.content,
            source=None if active is None else history.source,
            canary=None if canary is None else CanaryView(canary.version, canary.percent),
            description=None if definition is None else definition.description,
            route_type=None if definition is None else route_type(definition),
            access=None if definition is None else _access(definition),
            version_count=len(history.versions),
            changed_at=history.steps[-1].at if history.steps else None,
            problem=problem,
        )


def _guest_summary(history: ModelHistory, guest: Guest) -> ModelSummary:
    definition = guest.defined.definition
    return ModelSummary(
        id=definition.id,
        public_model_id=f"{MODEL_PREFIX}{definition.id}",
        status="active",
        active_version=definition.version,
        content=guest.defined.content,
        source="test",
        canary=None,
        description=definition.description,
        route_type=route_type(definition),
        access=_access(definition),
        version_count=len(history.versions),
        changed_at=history.steps[-1].at if history.steps else None,
        problem=None,
    )


def _access(definition: ModelDefinition) -> Literal["public", "internal"]:
    return "public" if definition.callable_from_outside else "internal"


def route_type(definition: ModelDefinition) -> str:
    """What a definition's graph begins with. Purity: pure."""
    root = next((selector for selector in definition.selectors if selector.id == definition.root), None)
    return "target" if root is None else kind_of(root)


def _status(history: ModelHistory, problem: str | None) -> ModelStatus:
    if problem is not None:
        return "broken"
    if history.active is not None:
        return "active"
    return "retired" if history.retired else "draft"


def _version_summary(history: ModelHistory, version: Version) -> VersionSummary:
    active, canary = history.active, history.canary
    began = [step.at for step in history.steps if step.version == version.version and step.what in _BEGINNINGS]
    state: VersionState = "superseded" if began else "draft"
    percent = None
    if active is not None and active.version == version.version:
        state = "active"
    elif canary is not None and canary.version == version.version:
        state, percent = "canary", canary.percent
    return VersionSummary(
        version=version.version,
        content=version.content,
        source=version.source,
        state=state,
        added_at=version.added_at,
        published_at=began[-1] if began else None,
        percent=percent,
    )


def _graph(defined: Defined) -> RouteGraphView:
    definition = defined.definition
    nodes = []
    for selector in definition.selectors:
        settings = msgspec.to_builtins(selector)
        kind, name = settings.pop("type"), settings.pop("id")
        for members in ("models", "model", "otherwise"):
            settings.pop(members, None)
        nodes.append(GraphNode(name, kind, tuple(selector.models), settings))
    targets = (GraphTarget(t.id, t.provider, t.upstream_model, t.context_window) for t in definition.targets)
    return RouteGraphView(definition.root, tuple(nodes), tuple(targets))

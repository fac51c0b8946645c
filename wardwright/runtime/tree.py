"""The supervision tree of the daemon, on one page.

Every part is found by its name at each send, so the root restarts one part without touching its neighbours. Start order is top to
bottom: recovery of the log comes before the first request; stop order is the reverse: the edge drains first, the log closes last.

Restart budgets: a fault below must not burn through the levels above, so the root allows more restarts than its branches need.
"""

from collections.abc import Callable
from functools import partial

from supervisors import Actor, ChildSpec, DynamicSupervisor, Mailbox, Supervisor
from wardwright.ports.server import ServerSpec
from wardwright.runtime.catalog_board import CatalogBoard
from wardwright.runtime.model import ModelActor
from wardwright.runtime.roster import ProviderRoster
from wardwright.runtime.sink_roster import SinkRoster, no_sinks

ROOT = "wardwright"
EVENTS = f"{ROOT}/events"
STORAGE = f"{ROOT}/storage"
SINKS = f"{ROOT}/sinks"
CATALOG = f"{ROOT}/catalog"
PROVIDERS = f"{ROOT}/providers"
MODELS = f"{ROOT}/models"
RUNS = f"{ROOT}/runs"

WATCHERS = 100
"""How many may watch the visibility bus at a time."""

_BRANCH_RESTARTS = 20
_ROOT_RESTARTS = 30
_SINK_RESTARTS = 10_000
_WITHIN_S = 10.0
_MANY = Mailbox(capacity=100_000)
_RESTING_SESSIONS = 100_000
"""Of each model, some fifty megabytes. The one that has rested for longest is forgotten then; should it come back, its newest
receipt says where it stood."""


def model_path(model_id: str) -> str:
    """Where the actor of a public model stands in the tree."""
    return f"{MODELS}/{model_id}/model"


def sessions_path(model_id: str) -> str:
    """Where the sessions of a public model stand in the tree."""
    return f"{MODELS}/{model_id}/sessions"


def provider_path(provider_id: str) -> str:
    """Where the actor of a provider stands in the tree."""
    return f"{PROVIDERS}/{provider_id}"


def sink_path(sink_id: str) -> str:
    """Where the actor of a sink stands in the tree."""
    return f"{SINKS}/{sink_id}"


def server_path(spec: ServerSpec) -> str:
    """Where the process of a managed server stands in the tree."""
    return f"{PROVIDERS}/{spec.id}.server"


def build_tree(
    *,
    checkpointer: Callable[[], Actor],
    catalog: Callable[[], Actor],
    providers: ProviderRoster,
    models: CatalogBoard,
    edge: Callable[[], Actor],
    drain_seconds: float,
    watch: Callable[[], Actor] | None = None,
    sinks: SinkRoster | None = None,
) -> Supervisor:
    """The root supervisor with every branch below it; `watch` follows the configuration where there is a file to follow."""
    watching = [] if watch is None else [ChildSpec("config", watch)]
    return Supervisor(
        [
            ChildSpec("events", partial(_members, max_children=WATCHERS), type="supervisor"),
            ChildSpec("storage", checkpointer, mailbox=_MANY, shutdown=30.0),
            ChildSpec("sinks", partial(_sinks, sinks or no_sinks()), type="supervisor"),
            ChildSpec("catalog", catalog),
            ChildSpec("providers", partial(_providers, providers), type="supervisor"),
            ChildSpec("models", partial(_models, models), type="supervisor"),
            ChildSpec("runs", _members, type="supervisor"),
            *watching,
            ChildSpec("edge", edge, shutdown=drain_seconds + 10.0),
        ],
        strategy="one_for_one",
        max_restarts=_ROOT_RESTARTS,
        max_seconds=_WITHIN_S,
    )


def _sinks(roster: SinkRoster) -> Supervisor:
    """One child for each sink that is wanted now; the catalog sees to later changes.

    No number of crashes is too many: each child waits longer from crash to crash, and this branch may not take the others along.
    """
    return Supervisor(
        list(roster.specs().values()), strategy="one_for_one", max_restarts=_SINK_RESTARTS, max_seconds=_WITHIN_S
    )


def _providers(roster: ProviderRoster) -> Supervisor:
    """One child for each provider, and each server, that is wanted now; the catalog sees to later changes."""
    children = list(roster.specs().values())
    return Supervisor(children, strategy="one_for_one", max_restarts=_BRANCH_RESTARTS, max_seconds=_WITHIN_S)


def _models(board: CatalogBoard) -> Supervisor:
    """One child for each model on the board as it is now; the catalog starts and stops those that come and go later."""
    children = [model_spec(model_id, board) for model_id in sorted(board.models)]
    return Supervisor(children, strategy="one_for_one", max_restarts=_BRANCH_RESTARTS, max_seconds=_WITHIN_S)


def model_spec(model_id: str, board: CatalogBoard) -> ChildSpec:
    """A model and its sessions: sessions depend on their model and go with it. Neither is of one version."""

    def start() -> Supervisor:
        return Supervisor(
            [
                ChildSpec("model", partial(ModelActor, model_id, board), mailbox=_MANY),
                ChildSpec("sessions", partial(_members, max_passive=_RESTING_SESSIONS), type="supervisor"),
            ],
            strategy="rest_for_one",
            max_restarts=_BRANCH_RESTARTS,
            max_seconds=_WITHIN_S,
        )

    return ChildSpec(model_id, start, type="supervisor")


def _members(max_passive: int | None = None, max_children: int | None = None) -> DynamicSupervisor:
    return DynamicSupervisor(
        max_restarts=_BRANCH_RESTARTS, max_seconds=_WITHIN_S, max_children=max_children, max_passive=max_passive
    )

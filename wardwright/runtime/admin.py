"""The supervision tree as operators see it, and the levers on single actors.

Every read is synchronous and asks nobody, so it works on a stuck actor too. Times are shown as ages, in seconds.
"""

from collections.abc import Iterator, Mapping, Sequence

import anyio
import msgspec

from supervisors import ActorRef, ExitReason, System, TreeNode
from wardwright.domain.errors import NotFound
from wardwright.ports.storage import StoreHealth
from wardwright.runtime.catalog_board import CatalogBoard
from wardwright.runtime.health import describe
from wardwright.runtime.provider import ProviderBoard, Slot
from wardwright.runtime.tree import RUNS, STORAGE, model_path, sessions_path

Facts = Mapping[str, object]


class RuntimeView:
    """What `/admin` shows of the runtime."""

    def __init__(self, system: System, catalog: CatalogBoard, providers: ProviderBoard, *, boot: str) -> None:
        self._system = system
        self._catalog = catalog
        self._providers = providers
        self._boot = boot

    def runtime(self) -> Facts:
        """Every actor with its facts, nested as the tree is; and apart what the tree is there for."""
        tree, now = self._system.tree(), anyio.current_time()
        return {
            "boot": self._boot,
            "actor_count": len(walk(tree)),
            "models": [self._model(name, tree, now) for name in sorted(self._catalog.models)],
            "sessions": [
                self._session(name, node, now)
                for name in sorted(self._catalog.models)
                for node in _sessions(tree, name)
            ],
            "providers": self.providers(),
            "provider_attempts": list(self._attempts(tree, now)),
            "tree": _branch(tree, now),
        }

    def actor(self, path: str) -> Facts:
        """One actor's facts, and its state through its own redaction. Raises: NotFound."""
        node = self._system.node(path)
        if node is None:
            raise _no_actor(path)
        ref = self._system.whereis(path)
        now = anyio.current_time()
        facts = _node(node, now) if ref is None else {**_node(node, now), **_incarnation(ref, now)}
        return {**facts, "children": [child.path for child in node.children]}

    def kill(self, path: str) -> Facts:
        """Kill an actor as a crash would; its supervisor decides what follows. Raises: NotFound."""
        ref = self._system.whereis(path)
        if ref is None:
            raise _no_actor(path)
        ref.kill()
        return {"path": path, "killed": True}

    def providers(self) -> Sequence[Facts]:
        """What each provider is, how it is, and what became of the calls to it."""
        return [self._provider(slot) for _, slot in sorted(self._providers.slots().items())]

    def storage(self, health: StoreHealth) -> Facts:
        """What the receipt store says of itself, how its writer does, and the newest snapshot; the last two empty while it restarts."""
        writer = dict(self._state(STORAGE))
        snapshot = writer.pop("snapshot", None)
        return {**msgspec.structs.asdict(health), "writer": writer, "snapshot": snapshot}

    def _model(self, model_id: str, tree: TreeNode, now: float) -> Facts:
        """What answers for a model, and what has become of its requests."""
        activation = self._catalog.models[model_id]
        trial = next((trial for trial in activation.trials if trial.definition.id == model_id), None)
        node, state = tree.find(model_path(model_id)), self._state(model_path(model_id))
        sessions = tree.find(sessions_path(model_id))
        return {
            "model_id": model_id,
            "version": activation.definition.version,
            "canary": None if trial is None else {"version": trial.definition.version, "percent": trial.percent},
            "for_s": None if node is None else round(now - node.since, 3),
            "sessions": 0 if sessions is None else len(sessions.children),
            "passive_sessions": 0 if sessions is None else sessions.passive,
            "requests_by_status": state.get("requests_by_status", {}),
            "answers_by_target": state.get("answers_by_target", {}),
        }

    def _session(self, model_id: str, node: TreeNode, now: float) -> Facts:
        """A session that is awake. Those that are passive are only counted."""
        return {"model_id": model_id, "for_s": round(now - node.since, 3), **self._state(node.path)}

    def _attempts(self, tree: TreeNode, now: float) -> Iterator[Facts]:
        """The upstream calls under way."""
        runs = tree.find(RUNS)
        for node in () if runs is None else runs.children:
            state = self._state(node.path)
            if state.get("target") is not None:
                yield {**state, "for_s": round(now - node.since, 3)}

    def _state(self, path: str) -> Facts:
        """An actor's state as it shows itself; nothing of one that is gone by now."""
        ref = self._system.whereis(path)
        return {} if ref is None else ref.info().details

    def _provider(self, slot: Slot) -> Facts:
        info = slot.provider.info
        health = describe(self._providers.health.gate(info.id))
        return {**msgspec.structs.asdict(info), "live_attempts": slot.leases, **health}


def _sessions(tree: TreeNode, model_id: str) -> Sequence[TreeNode]:
    node = tree.find(sessions_path(model_id))
    return () if node is None else node.children


def walk(node: TreeNode) -> Sequence[TreeNode]:
    """A node and everything below it, parents first."""
    return [node, *(below for child in node.children for below in walk(child))]


def _branch(node: TreeNode, now: float) -> Facts:
    return {**_node(node, now), "children": [_branch(child, now) for child in node.children]}


def _node(node: TreeNode, now: float) -> dict[str, object]:
    return {
        "path": node.path,
        "id": node.id,
        "kind": node.kind,
        "type": node.type,
        "status": node.status,
        "for_s": round(now - node.since, 3),
        "restart": node.restart,
        "restarts": node.restarts,
        "last_exit": _text(node.last_exit),
        "mailbox_depth": node.mailbox_depth,
        "waiting_on": node.waiting_on,
        "passive": node.passive,
    }


def _incarnation(ref: ActorRef, now: float) -> dict[str, object]:
    info = ref.info()
    return {
        "handled": info.handled,
        "dropped": info.dropped,
        "current_message": info.current_message,
        "busy_for_s": None if info.busy_since is None else round(now - info.busy_since, 3),
        "state": info.details,
    }


def _text(reason: ExitReason | None) -> str | None:
    return None if reason is None else str(reason)


def _no_actor(path: str) -> NotFound:
    return NotFound(f"there is no actor at {path!r}; `wardwright actors tree` lists them", "actor_not_found")

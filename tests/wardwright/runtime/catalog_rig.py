"""A catalog with everything it works with: the control log, the tree's branch of models, and a configuration that can be edited."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from supervisors import Actor, Call, System
from supervisors.testing import EventLog
from tests.wardwright.runtime.stage import LetterCounter, ScriptedStore
from wardwright.app.parts import provider_part
from wardwright.app.sinks import sink_of
from wardwright.config.load import Loaded, load_config
from wardwright.config.settings import ProviderBase, Settings
from wardwright.config.sinks import SinkBase
from wardwright.domain.control_state import ModelHistory
from wardwright.runtime.catalog import Catalog, CatalogParts
from wardwright.runtime.catalog_board import CatalogBoard
from wardwright.runtime.catalog_desk import CatalogDesk
from wardwright.runtime.checkpointer import Checkpointer, Logs, StoreBoard
from wardwright.runtime.config_board import ConfigBoard
from wardwright.runtime.control import ControlBoard
from wardwright.runtime.exact import ExactCounts
from wardwright.runtime.ledger import Ledger
from wardwright.runtime.provider import ProviderBoard
from wardwright.runtime.roster import ProviderPart, ProviderRoster
from wardwright.runtime.sink import SinkActor
from wardwright.runtime.sink_line import SinkLine
from wardwright.runtime.sink_roster import SinkPart, SinkRoster
from wardwright.runtime.transient import TransientBoard
from wardwright.runtime.tree import CATALOG, MODELS, ROOT, build_tree
from wardwright.runtime.versions import Versions
from wardwright.runtime.visible import Fact
from wardwright.storage.control import MemoryControlLog

R = TypeVar("R")

HEAD = """
[[providers]]
id = "local"
kind = "canned"
outputs = ["hello"]

[[targets]]
id = "local/small"
provider = "local"
context_window = 8192

[[targets]]
id = "local/large"
provider = "local"
context_window = 32768
"""


def model(name: str, *targets: str, **keys: str) -> str:
    """The table of a model that is a cascade over these targets."""
    lines = "".join(f'{key} = "{value}"\n' for key, value in keys.items())
    members = ", ".join(f'"{target}"' for target in targets or ("local/small",))
    return f'\n[[models]]\nid = "{name}"\n{lines}\n[[models.cascades]]\nid = "in-order"\nmodels = [{members}]\n'


def draft(*targets: str, **keys: Any) -> dict[str, Any]:
    """The artifact of such a model."""
    return {**keys, "cascades": [{"id": "in-order", "models": list(targets or ("local/small",))}]}


class Idle(Actor):
    """A part that these tests have no use for."""


@dataclass
class Rig:
    """Everything a test may look at, pull, or edit."""

    system: System
    file: Path
    board: CatalogBoard
    control: ControlBoard
    versions: Versions
    config: ConfigBoard
    desk: CatalogDesk
    providers: ProviderBoard
    events: EventLog
    told: list[Fact]
    counter: LetterCounter
    sinks: SinkRoster

    async def ask(self, request: Call[R]) -> R:
        return await self.system.named(CATALOG).call(request, timeout=100)

    def write(self, *models: str, head: str = HEAD) -> None:
        self.file.write_text(head + "".join(models), encoding="utf-8")

    def kill(self, path: str = CATALOG) -> None:
        ref = self.system.whereis(path)
        assert ref is not None
        ref.kill()

    def active(self) -> Mapping[str, str]:
        """What answers, by name."""
        return {name: activation.definition.version for name, activation in self.board.models.items()}

    def history(self, name: str = "m") -> ModelHistory:
        return self.versions.history(name)

    def steps(self, name: str = "m") -> list[str]:
        return [f"{step.what} {step.version or step.source}" for step in self.history(name).steps]

    def in_tree(self) -> set[str]:
        """The models that the tree has actors for."""
        node = self.system.tree().find(MODELS)
        assert node is not None
        return {child.id for child in node.children if child.status == "running"}


def loaded_from(file: Path) -> Loaded:
    return load_config(file, {"WARDWRIGHT_DATA_DIR": str(file.parent / "data")})


@asynccontextmanager
async def rig(folder: Path, *models: str, log: MemoryControlLog | None = None, head: str = HEAD) -> AsyncIterator[Rig]:
    """Run a catalog on a configuration of these models; with the log of an earlier one, as after a restart of the daemon."""
    file = folder / "wardwright.toml"
    file.write_text(head + "".join(models or (model("m"),)), encoding="utf-8")
    log, store, counter = log or MemoryControlLog(), ScriptedStore(), LetterCounter()
    told: list[Fact] = []
    board, control, events = CatalogBoard(), ControlBoard(told.append), EventLog()
    config = ConfigBoard(loaded_from(file), told.append)
    versions, providers = Versions(control, TransientBoard()), ProviderBoard()
    shelf = StoreBoard()

    def make_line(sink: SinkBase) -> SinkLine:
        return SinkLine(
            sink,
            sink_of(sink),
            store=lambda: shelf.store,
            appended=lambda: shelf.entries_appended,
            now=lambda: 1_800_000_000.0,
        )

    def make_actor(part: SinkPart, roster: SinkRoster) -> SinkActor:
        return SinkActor(part, roster, bell=shelf.appended, now=lambda: 1_800_000_000.0)

    sinks = SinkRoster(make_line, make_actor, config.loaded.settings.sinks)

    def make_part(provider: ProviderBase, settings: Settings, before: ProviderPart | None = None) -> ProviderPart:
        return provider_part(provider, settings, providers, before)

    roster = ProviderRoster(
        make_part(provider, config.loaded.settings) for provider in config.loaded.settings.providers
    )
    parts = CatalogParts(
        config=config,
        control=control,
        board=board,
        versions=versions,
        roster=roster,
        providers=providers,
        exact_counts=ExactCounts(counter),
        load=partial(loaded_from, file),
        make_part=make_part,
        sinks=sinks,
        draw=lambda below: 7,
    )
    tree = build_tree(
        checkpointer=partial(
            Checkpointer,
            Logs(lambda: store, lambda: log),
            board=shelf,
            control=control,
            ledger=Ledger(now=lambda: 1_800_000_000.0),
            health=providers.health,
            boot="boot",
            now=lambda: 1_800_000_000.0,
        ),
        sinks=sinks,
        catalog=partial(Catalog, parts),
        providers=roster,
        models=board,
        edge=Idle,
        drain_seconds=1.0,
    )
    async with System(ROOT, tree, on_event=events) as system:
        desk = CatalogDesk(system, board=board, versions=versions)
        yield Rig(system, file, board, control, versions, config, desk, providers, events, told, counter, sinks)

"""The catalog: where the configuration file and the admin API meet, and decide which versions answer.

Every change is made in one order: checked against what is served, made durable in the control log, put on the board in one step. What is
on the board is made from the control log alone, so a crash anywhere in between loses nothing: the next incarnation shows whatever
was decided. Two changes at once take turns.
"""

import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.to_thread
import structlog

from supervisors import NO_REPLY, Actor, ExitReason, ReplyTo, Stop, SupervisorError
from wardwright.config.artifact import read_artifact
from wardwright.config.changes import files_emptied
from wardwright.config.inline_artifact import InvalidTestConfig
from wardwright.config.load import Loaded
from wardwright.config.problems import ConfigError, Problem, below, shown
from wardwright.config.settings import ProviderBase, Settings
from wardwright.domain.control import CanaryEnded, CanarySet, ControlEvent, ModelRetired, Published, RolledBack
from wardwright.domain.control_state import ControlState, ModelHistory, Version, fold_next
from wardwright.domain.errors import Conflict, StorageUnavailable, WardwrightError
from wardwright.domain.route import ModelDefinition
from wardwright.planner.composition import nested_models
from wardwright.runtime.catalog_board import CatalogBoard, Trial, activate
from wardwright.runtime.catalog_calls import (
    AddDraft,
    Drafted,
    PlaceInline,
    Publish,
    Reload,
    Retire,
    RollBack,
    SetCanary,
)
from wardwright.runtime.catalog_checks import CannotServe, catalog_problems
from wardwright.runtime.catalog_file import FilesWord, files_word, version_event
from wardwright.runtime.config_board import ConfigBoard
from wardwright.runtime.control import ControlBoard, decide
from wardwright.runtime.exact import ExactCounts
from wardwright.runtime.fleet import align_models, align_providers, align_sinks, see_off
from wardwright.runtime.provider import ProviderBoard, Slot
from wardwright.runtime.roster import ProviderPart, ProviderRoster
from wardwright.runtime.sink_roster import SinkRoster, no_sinks
from wardwright.runtime.transient import Transient, place, without
from wardwright.runtime.tree import STORAGE
from wardwright.runtime.versions import Versions

_log = structlog.get_logger("wardwright.catalog")
_SEEDS = 2**63
_TRY_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class CatalogParts:
    """What the catalog works with.

    `load` reads the configuration again: it may block, and raises ConfigError. `make_part` says what runs for a provider, given what
    did so far.
    """

    config: ConfigBoard
    control: ControlBoard
    board: CatalogBoard
    versions: Versions
    roster: ProviderRoster
    providers: ProviderBoard
    exact_counts: ExactCounts
    load: Callable[[], Loaded]
    make_part: Callable[[ProviderBase, Settings, ProviderPart | None], ProviderPart]
    sinks: SinkRoster = field(default_factory=no_sinks)
    draw: Callable[[int], int] = random.SystemRandom().randrange


class _ControlChanged:
    """Cast by the catalog's own helper: the control log has gone on, whatever its writer heard of it."""


class _TryAgain:
    """Sent to itself: the tree could not be brought in line with the board."""


class Catalog(Actor):
    """Takes decisions about versions, one at a time; see the module's page for their order."""

    def __init__(self, parts: CatalogParts) -> None:
        self._config = parts.config
        self._control = parts.control
        self._board = parts.board
        self._versions = parts.versions
        self._transient = parts.versions.transient
        self._roster = parts.roster
        self._sinks = parts.sinks
        self._providers = parts.providers
        self._exact_counts = parts.exact_counts
        self._load = parts.load
        self._make_part = parts.make_part
        self._draw = parts.draw
        self._shown: tuple[ControlState, Transient] | None = None
        self._leaving: set[str] = set()
        self._thread = anyio.CapacityLimiter(1)
        self._takers: Mapping[type, Callable[[Any], Awaitable[object]]] = {
            AddDraft: self._add_draft,
            Publish: self._publish,
            SetCanary: self._set_canary,
            RollBack: self._roll_back,
            Retire: self._retire,
            PlaceInline: self._place_inline,
            Reload: self._reload,
        }

    async def init(self) -> Stop | None:
        """Follow the configuration where it has changed since it was last followed, and put everything on the board.

        A configuration that contradicts what was published is no crash of ours: the start is refused with its problems.
        """
        try:
            await self._follow(self._word(self._config.loaded))
        except (ConfigError, StorageUnavailable) as error:
            return Stop(ExitReason.shutdown(error))
        await self._prepare(self._control.state)
        self._roster.replace(self._parts(self._config.loaded.settings, self._transient.state).values())
        self._sinks.replace(self._config.loaded.settings.sinks)
        self._show()
        for problem in catalog_problems(self._control.state, self._versions, _provider_ids(self._config.loaded)):
            _log.error("a published version cannot serve as it should", problem=str(problem))
        self.spawn(self._watch_control)
        return None

    async def handle_call(self, request: object, reply_to: ReplyTo[Any]) -> object:
        """Take one decision; see `runtime.catalog_calls`."""
        take = self._takers.get(type(request))
        if take is None:
            return await super().handle_call(request, reply_to)
        try:
            return await take(request)
        except WardwrightError as refusal:
            reply_to.fail(refusal)
            return NO_REPLY

    async def handle_cast(self, message: object) -> None:
        """Show what was decided, even when its writer never heard of it."""
        if isinstance(message, _ControlChanged):
            self._show()
            await self._align()

    async def handle_info(self, message: object) -> None:
        """Try again to bring the tree in line."""
        if isinstance(message, _TryAgain):
            await self._align()

    def format_status(self) -> Mapping[str, object]:
        """The active version of each model, and the models that have none although they should."""
        active = {name: activation.definition.version for name, activation in self._board.models.items()}
        return {"active_versions": active, "broken": dict(self._board.broken), "config": self._config.loaded.source}

    # --- decisions ----------------------------------------------------------------------------------------------------

    async def _add_draft(self, asked: AddDraft) -> Drafted:
        settings = self._config.loaded.settings
        defined = read_artifact(
            {"id": asked.model_id, **asked.artifact},
            targets=settings.targets,
            providers=settings.providers,
        )
        definition = defined.definition
        if definition.id != asked.model_id:
            message = f'expected "{asked.model_id}", the model that is drafted, got "{definition.id}"'
            raise ConfigError("the draft", [Problem("id", message)])
        known = self._control.state.models.get(definition.id, ModelHistory(definition.id)).versions
        if definition.version in known:
            if known[definition.version].content == defined.content:
                return Drafted(definition.version, is_new=False)
            raise Conflict(
                f"the version {definition.version!r} of {definition.id!r} is already there with other content: versions never change, "
                "so this one needs a name of its own, or none"
            )
        await self._decide(version_event(defined, "admin"))
        return Drafted(definition.version, is_new=True)

    async def _publish(self, asked: Publish) -> None:
        history = self._versions.history(asked.model_id)
        self._versions.version(asked.model_id, asked.version)
        active = _name(history.active)
        if asked.instead_of is not None and asked.instead_of != active:
            raise Conflict(f"{asked.model_id!r} answers with {active!r} by now, not with {asked.instead_of!r}")
        published = Published(asked.model_id, asked.version, "admin")
        if active != asked.version or history.canary is not None:
            await self._decide(published)
        elif asked.model_id in self._transient.state.models:
            await self._settle([published])  # it is what answers, but for a test that stands before it

    async def _set_canary(self, asked: SetCanary) -> None:
        history = self._versions.history(asked.model_id)
        self._versions.version(asked.model_id, asked.version)
        running = history.canary
        if asked.percent == 0:
            if running is not None and running.version == asked.version:
                await self._decide(CanaryEnded(asked.model_id))
            return
        if history.active is None:
            raise Conflict(
                f"{asked.model_id!r} has no published version that a canary could stand beside: publish one first"
            )
        if history.active.version == asked.version:
            raise Conflict(f"{asked.version!r} is what {asked.model_id!r} answers with: a canary is another version")
        is_same = running is not None and running.version == asked.version
        seed = running.seed if running is not None and is_same else self._draw(_SEEDS)
        await self._decide(CanarySet(asked.model_id, asked.version, asked.percent, seed))

    async def _roll_back(self, asked: RollBack) -> None:
        history = self._versions.history(asked.model_id)
        active, previous = history.active, history.previous
        undone = _name(active) if history.canary is None else history.canary.version
        if asked.undo is not None and asked.undo != undone:
            raise Conflict(f"the last step of {asked.model_id!r} is {undone!r} by now, not {asked.undo!r}")
        if history.canary is not None:
            await self._decide(CanaryEnded(asked.model_id))
        elif active is None:
            raise Conflict(f"{asked.model_id!r} is not served, so there is nothing to roll back")
        elif previous is None:
            raise Conflict(f"{active.version!r} is the first version that {asked.model_id!r} was published with")
        else:
            await self._decide(RolledBack(asked.model_id, previous.version, active.version))

    async def _retire(self, asked: Retire) -> None:
        if self._versions.history(asked.model_id).active is None:
            raise Conflict(f"{asked.model_id!r} is not served")
        await self._decide(ModelRetired(asked.model_id, "admin"))

    async def _decide(self, *events: ControlEvent) -> None:
        """Carry a decision out: check what it leads to, make it durable, show it."""
        after = fold_next(self._control.state, events)
        problems = self._new_problems(after, self._config.loaded)
        if problems:
            raise CannotServe("what would be served", problems)
        await self._prepare(after)
        await decide(self.system.named(STORAGE), *events)
        await self._settle(events)

    async def _place_inline(self, asked: PlaceInline) -> ModelDefinition:
        settings, served = self._config.loaded.settings, self._served(self._control.state)
        taken = [provider.id for provider in settings.providers]
        state = place(self._transient.state, asked.model, taken=taken, served=served.keys())
        problems = [
            Problem("", f"the model {shown(name)} stands on {shown(below)}, which is not served")
            for name, definition in state.definitions.items()
            for below in nested_models(definition)
            if below not in served and below not in state.models
        ]
        if problems:
            raise InvalidTestConfig("the test artifact", problems)
        await self._load_vocabularies(state.definitions.values())
        await self._bring(self._parts(settings, state))
        self._transient.replace(state)
        await self._settle()
        return state.definitions[asked.model.artifact.id]

    async def _prepare(self, after: ControlState) -> None:
        """Have at hand what requests will need of the versions that a step leads to."""
        await self._load_vocabularies(definition for definition, _ in self._served(after).values())

    async def _load_vocabularies(self, models: Iterable[ModelDefinition]) -> None:
        await self._exact_counts.load(sorted({t.tokenizer for model in models for t in model.targets if t.tokenizer}))

    def _new_problems(self, after: ControlState, loaded: Loaded) -> list[Problem]:
        """Everything that a step would break; old faults of others are in nobody's way."""
        known = set(catalog_problems(self._control.state, self._versions, _provider_ids(self._config.loaded)))
        found = catalog_problems(after, self._versions, _provider_ids(loaded))
        return [problem for problem in found if problem not in known]

    def _names_in_tests(self, loaded: Loaded) -> Iterator[Problem]:
        for provider in loaded.settings.providers:
            if provider.id in self._transient.state.providers:
                yield Problem(below("providers", provider.id), "expected an id that no model for tests uses")

    # --- the configuration --------------------------------------------------------------------------------------------

    async def _reload(self, _: Reload) -> FilesWord:
        try:
            loaded = await anyio.to_thread.run_sync(self._load, limiter=self._thread)
            emptied = files_emptied(self._config.loaded, loaded)
            if emptied:
                raise ConfigError(loaded.source, emptied)
            word = self._word(loaded)
            after = fold_next(self._control.state, word.events)
            problems = [*self._new_problems(after, loaded), *self._names_in_tests(loaded)]
            if problems:
                raise ConfigError(loaded.source, problems)
        except ConfigError as error:
            self._config.say_refused(error)
            raise
        await self._prepare(after)
        await self._change(loaded, word)
        return word

    async def _change(self, loaded: Loaded, word: FilesWord) -> None:
        """Follow another configuration: new providers come first, then models change in one step, then old providers go.

        A crash before that step leaves the earlier configuration, one during or after it the new: `init` goes on from there.
        """
        before, so_far = self._config.loaded, self._roster.parts
        await self._bring(self._parts(loaded.settings, self._transient.state))
        self._config.loaded = loaded
        try:
            await self._follow(word)
        except StorageUnavailable:
            self._config.loaded = before
            self._roster.replace(so_far.values())
            await self._align()
            raise
        self._config.say_followed(before.settings, word)
        await self._settle(word.events)

    def _parts(self, settings: Settings, transient: Transient) -> dict[str, ProviderPart]:
        """What is to run for every provider; one that stays as it is keeps what it has."""
        so_far = self._roster.parts
        parts = {}
        for provider in (*settings.providers, *transient.providers.values()):
            known = so_far.get(provider.id)
            is_same = known is not None and known.refit is not None and known.refit.settings == provider
            parts[provider.id] = known if known is not None and is_same else self._make_part(provider, settings, known)
        return parts

    async def _bring(self, parts: Mapping[str, ProviderPart]) -> None:
        """Have providers that are not there yet, beside all there are: models that ask them come next."""
        so_far = self._roster.parts
        added = [part for name, part in parts.items() if name not in so_far]
        if added:
            self._roster.replace([*so_far.values(), *added])
            await self._align()

    async def _settle(self, events: Iterable[ControlEvent] = ()) -> None:
        """Show what has come true, and have the tree run it; what was decided about a name ends a test's hold on it."""
        transient = self._transient.state
        for event in events:
            if isinstance(event, Published | RolledBack | ModelRetired):
                transient = without(transient, event.model_id)
        self._transient.replace(transient)
        self._roster.replace(self._parts(self._config.loaded.settings, transient).values())
        self._sinks.replace(self._config.loaded.settings.sinks)
        self._show()
        await self._align()

    def _word(self, loaded: Loaded) -> FilesWord:
        """What the configuration says that it has not said before. Raises: ConfigError."""
        word = files_word(loaded, self._control.state)
        if word.problems:
            raise ConfigError(loaded.source, word.problems)
        return word

    async def _follow(self, word: FilesWord) -> None:
        if word.events:
            await decide(self.system.named(STORAGE), *word.events)

    # --- the board ----------------------------------------------------------------------------------------------------

    def _show(self) -> None:
        """Put on the board what the control log amounts to, and the models for tests before it."""
        state, transient = self._control.state, self._transient.state
        if self._shown is not None and state is self._shown[0] and transient is self._shown[1]:
            return
        served = self._served(state)
        definitions = {name: definition for name, (definition, _) in served.items()}
        trials = {name: trial for name, (_, trial) in served.items() if trial is not None}
        missing = (name for name, history in state.models.items() if history.active is not None and name not in served)
        broken = dict.fromkeys(missing, "the published version cannot be read by this release of Wardwright")
        for name, definition in transient.definitions.items():
            definitions[name] = definition
            trials.pop(name, None)
            broken.pop(name, None)
        self._board.replace(activate(definitions, trials, reuse=self._board.models), broken)
        self._shown = (state, transient)

    def _served(self, state: ControlState) -> dict[str, tuple[ModelDefinition, Trial | None]]:
        """What every public name stands for in a state, and its canary; without those that cannot be read."""
        served: dict[str, tuple[ModelDefinition, Trial | None]] = {}
        for name, history in state.models.items():
            if history.active is None:
                continue
            with suppress(ConfigError):
                definition, trial = self._versions.defined(name, history.active).definition, None
                if history.canary is not None:
                    canary = history.canary
                    tried = self._versions.defined(name, history.versions[canary.version]).definition
                    trial = Trial(tried, canary.percent, canary.seed)
                served[name] = (definition, trial)
        return served

    async def _align(self) -> None:
        """Have the tree run what the boards have; a supervisor that cannot be asked now is asked again."""
        try:
            leaving = await align_providers(self.system, self._roster, self._providers)
            await align_models(self.system, self._board)
            await align_sinks(self.system, self._sinks)
        except SupervisorError as error:
            _log.warning("the tree is not in line with the catalog yet", reason=str(error))
            self.system.send_after(_TRY_AGAIN_S, self.ref, _TryAgain())
        else:
            servers = leaving.servers - self._leaving
            if servers:
                self._leaving |= servers
                self.spawn(self._see_off, servers, leaving.retired)

    async def _see_off(self, servers: frozenset[str], retired: tuple[Slot, ...]) -> None:
        await see_off(self.system, servers, retired)
        self._leaving -= servers

    async def _watch_control(self) -> None:
        self.ref.cast(_ControlChanged())  # a crash may have left the tree behind the board
        while True:
            changed = self._control.changed
            if self._shown is None or self._control.state is not self._shown[0]:
                self.ref.cast(_ControlChanged())
            await changed.wait()


def _name(version: Version | None) -> str | None:
    return None if version is None else version.version


def _provider_ids(loaded: Loaded) -> set[str]:
    return {provider.id for provider in loaded.settings.providers}

"""What answers under each public name right now, prepared so that a request only has to take it.

Requests do not ask the catalog's actor: they read this board, an immutable mapping that is swapped in one step. A request keeps the
versions it began with. While the actor restarts, the last good board goes on serving.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import msgspec

from wardwright.domain.errors import Forbidden, NoTargetAvailable, UnknownModel
from wardwright.domain.route import MODEL_PREFIX, Composition, ModelDefinition
from wardwright.planner.canary import BUCKETS, bucket_of, takes
from wardwright.planner.composition import compose, nested_models
from wardwright.receipts.events import CanarySide
from wardwright.runtime.output_book import demands_of
from wardwright.runtime.stream_book import prepare_rules

Draw = Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Trial:
    """A canary that may concern a request: the version that takes a share of the sessions from the active one."""

    definition: ModelDefinition
    percent: float
    seed: int


@dataclass(frozen=True, slots=True)
class Activation:
    """One public name: its active definition, and the canaries of it and of the models below it, in any of their versions.

    `models` are the definition and all that it may come to stand on, each in its active version.
    """

    definition: ModelDefinition
    models: Mapping[str, ModelDefinition]
    trials: tuple[Trial, ...] = ()
    _composed: dict[frozenset[str], Composition] = field(default_factory=dict)

    def composition(self, on_trial: frozenset[str] = frozenset()) -> Composition:
        """What a request goes by when it is on the canary's side for these models; put together once."""
        found = self._composed.get(on_trial)
        if found is None:
            chosen = dict(self.models)
            chosen.update((t.definition.id, t.definition) for t in self.trials if t.definition.id in on_trial)
            found = self._composed[on_trial] = compose(chosen[self.definition.id], chosen)
        return found

    def is_made_of(self, models: Mapping[str, ModelDefinition], trials: tuple[Trial, ...]) -> bool:
        """Whether it was made of exactly these."""
        is_same = self.models.keys() == models.keys() and all(self.models[name] is models[name] for name in models)
        return is_same and self.trials == trials


class Route(msgspec.Struct, frozen=True):
    """What one request goes by: the versions, and the side it is on of every canary that concerns it."""

    composition: Composition
    canaries: tuple[CanarySide, ...] = ()


class CatalogBoard:
    """The active models by public name, and why others that should be active are not. Written by the catalog's actor alone."""

    def __init__(self) -> None:
        self.models: Mapping[str, Activation] = MappingProxyType({})
        self.broken: Mapping[str, str] = MappingProxyType({})

    def replace(self, models: Mapping[str, Activation], broken: Mapping[str, str] = MappingProxyType({})) -> None:
        """Put all names in the place of the current ones, in one step."""
        self.models, self.broken = MappingProxyType(dict(models)), MappingProxyType(dict(broken))

    def resolve(self, name: str) -> ModelDefinition:
        """The active definition for a name as a caller wrote it, with or without the `wardwright/` prefix.

        Raises: UnknownModel; Forbidden for a model that only serves other models; NoTargetAvailable for one that is broken.
        """
        return self._find(name).definition

    def route(self, name: str, session_id: str | None, draw: Draw, *, for_operator: bool = False) -> Route:
        """Decide which versions a request for a name goes by. `draw` takes a number below its argument, for who has no session.

        Operators may look at models that only serve others.

        Raises: as `resolve`.
        """
        activation = self._find(name, for_operator=for_operator)
        if not activation.trials:
            return Route(activation.composition())
        sides = [_side(trial, session_id, draw) for trial in activation.trials]
        composition = activation.composition(frozenset(side.model_id for side in sides if side.taken))
        return Route(composition, tuple(side for side in sides if side.model_id in composition.versions))

    def callable_models(self) -> list[ModelDefinition]:
        """Every model a client may call, by id."""
        active = (self.models[name].definition for name in sorted(self.models))
        return [definition for definition in active if definition.callable_from_outside]

    def definitions(self) -> Mapping[str, ModelDefinition]:
        """Every active definition by model id."""
        return {name: activation.definition for name, activation in self.models.items()}

    def _find(self, name: str, *, for_operator: bool = False) -> Activation:
        plain = name.removeprefix(MODEL_PREFIX)
        activation = self.models.get(plain)
        if activation is None:
            if plain in self.broken:
                raise NoTargetAvailable(f"the model {name!r} cannot be served: {self.broken[plain]}")
            raise UnknownModel(self._unknown(name), param="model")
        if not (activation.definition.callable_from_outside or for_operator):
            raise Forbidden(f"the model {name!r} is only available for internal composition", "model_internal")
        return activation

    def _unknown(self, name: str) -> str:
        known = ", ".join(definition.id for definition in self.callable_models()) or "none"
        return f"unknown model {name!r}; models served here: {known}"


def activate(
    definitions: Mapping[str, ModelDefinition],
    trials: Mapping[str, Trial] = MappingProxyType({}),
    reuse: Mapping[str, Activation] = MappingProxyType({}),
) -> dict[str, Activation]:
    """Prepare every model, anew only where something has changed since `reuse` was made. Purity: pure."""
    activations = {}
    for name, definition in definitions.items():
        reached = _reached(name, definitions, trials)
        models = {model: definitions[model] for model in reached}
        concerned = tuple(trials[model] for model in reached if model in trials)
        before = reuse.get(name)
        if before is not None and before.is_made_of(models, concerned):
            activations[name] = before
        else:
            activations[name] = Activation(definition, models, concerned)
            composition = activations[name].composition()  # now, so that no request pays for it
            prepare_rules(composition)
            demands_of(composition)
    return activations


def _reached(name: str, definitions: Mapping[str, ModelDefinition], trials: Mapping[str, Trial]) -> list[str]:
    """The model and all that it may come to stand on, in whatever version it is met."""
    reached: dict[str, None] = {}
    waiting = [name]
    while waiting:
        model = waiting.pop()
        if model not in reached and model in definitions:
            reached[model] = None
            waiting += nested_models(definitions[model])
            waiting += nested_models(trials[model].definition) if model in trials else ()
    return list(reached)


def _side(trial: Trial, session_id: str | None, draw: Draw) -> CanarySide:
    bucket = draw(BUCKETS) if session_id is None else bucket_of(session_id, trial.seed)
    return CanarySide(
        model_id=trial.definition.id,
        version=trial.definition.version,
        percent=trial.percent,
        bucket=bucket,
        by="draw" if session_id is None else "session",
        taken=takes(bucket, trial.percent),
    )

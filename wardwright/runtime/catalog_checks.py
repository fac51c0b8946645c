"""Whether what would be served can be served: every published version and every canary, beside all the others."""

from collections.abc import Collection, Iterator, Mapping

from wardwright.config.problems import ConfigError, Problem, below, shown
from wardwright.domain.control_state import ControlState, ModelHistory, Version
from wardwright.domain.route import ModelDefinition
from wardwright.planner.composition import nested_models
from wardwright.planner.nesting import NestingProblem, declared_graph, validate_nesting
from wardwright.runtime.versions import Versions


class CannotServe(ConfigError):
    """A decision that would leave something published which cannot be served."""

    code = "version_conflict"


def catalog_problems(state: ControlState, versions: Versions, providers: Collection[str]) -> Iterator[Problem]:
    """Find everything that keeps the served versions from serving."""
    served = {name for name, history in state.models.items() if history.active is not None}
    active: dict[str, ModelDefinition] = {}
    on_trial: dict[str, ModelDefinition] = {}
    for name in sorted(served):
        path = below("models", name)
        for version, known in zip(_serving(state.models[name]), (active, on_trial), strict=False):
            try:
                known[name] = versions.defined(name, version).definition
            except ConfigError as error:
                yield from (Problem(path, f"version {shown(version.version)}: {problem}") for problem in error.problems)
            else:
                for message in _unserved(known[name], served, providers):
                    yield Problem(path, f"version {shown(version.version)} {message}")
    yield from _nesting_problems(active, on_trial)


def _serving(history: ModelHistory) -> Iterator[Version]:
    if history.active is not None:
        yield history.active
    if history.canary is not None:
        yield history.versions[history.canary.version]


def _unserved(definition: ModelDefinition, served: Collection[str], providers: Collection[str]) -> Iterator[str]:
    for name in nested_models(definition):
        if name not in served:
            yield f"stands on the model {shown(name)}, which is not served"
    for name in dict.fromkeys(target.provider for target in definition.targets):
        if name not in providers:
            yield f"asks the provider {shown(name)}, which the configuration does not have"


def _nesting_problems(
    active: Mapping[str, ModelDefinition], on_trial: Mapping[str, ModelDefinition]
) -> Iterator[Problem]:
    """Judge the graphs that requests may meet together: the active ones, with each canary, and with all of them."""
    together = [
        active,
        *({**active, name: definition} for name, definition in on_trial.items()),
        {**active, **on_trial},
    ]
    told: set[Problem] = set()
    for definitions in together:
        for found in validate_nesting([declared_graph(definition) for definition in definitions.values()]):
            name = list(definitions)[found.graph]
            problem = Problem(below("models", name), f"version {shown(definitions[name].version)}: {_words(found)}")
            if problem not in told:
                told.add(problem)
                yield problem


def _words(found: NestingProblem) -> str:
    return f"{found.problem.path}: {found.problem.message}"

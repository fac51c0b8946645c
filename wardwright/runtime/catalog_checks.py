"""Whether what would be served can be served: every published version and every canary, beside all the others."""

from collections.abc import Collection, Iterator

from wardwright.config.problems import ConfigError, Problem, below, shown
from wardwright.domain.control_state import ControlState, ModelHistory, Version
from wardwright.domain.route import ModelDefinition
from wardwright.runtime.catalog_board import nested_models
from wardwright.runtime.versions import Versions


class CannotServe(ConfigError):
    """A decision that would leave something published which cannot be served."""

    code = "version_conflict"


def catalog_problems(state: ControlState, versions: Versions, providers: Collection[str]) -> Iterator[Problem]:
    """Find everything that keeps the served versions from serving."""
    served = {name for name, history in state.models.items() if history.active is not None}
    for name in sorted(served):
        path = below("models", name)
        for version in _serving(state.models[name]):
            try:
                definition = versions.defined(name, version).definition
            except ConfigError as error:
                yield from (Problem(path, f"version {shown(version.version)}: {problem}") for problem in error.problems)
            else:
                for message in _unserved(definition, served, providers):
                    yield Problem(path, f"version {shown(version.version)} {message}")


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

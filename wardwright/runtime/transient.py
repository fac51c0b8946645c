"""Models that tests put before the catalog's own, until the daemon stops or somebody decides about them.

They are in no log. A model for tests hides the published one of its name, brings its own providers, and touches no other model:
neither the file's nor another test's.
"""

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType

import msgspec

from wardwright.config.artifact import ArtifactSettings, Defined, define
from wardwright.config.inline_artifact import InlineModel, InvalidTestConfig
from wardwright.config.problems import Problem, shown
from wardwright.config.settings import ProviderBase
from wardwright.domain.route import ModelDefinition

_REMEMBERED = 1000


class Guest(msgspec.Struct, frozen=True):
    """A model for tests, with the id of the artifact that it came in: its own, or that of a model which embeds it."""

    defined: Defined
    host: str


class Transient(msgspec.Struct, frozen=True):
    """All models for tests by id, their providers by id, and the artifacts that use each of these."""

    models: Mapping[str, Guest] = MappingProxyType({})
    providers: Mapping[str, ProviderBase] = MappingProxyType({})
    users: Mapping[str, frozenset[str]] = MappingProxyType({})

    @property
    def definitions(self) -> dict[str, ModelDefinition]:
        """The definitions by model id."""
        return {name: guest.defined.definition for name, guest in self.models.items()}


class TransientBoard:
    """The models for tests. Written by the catalog alone; it outlives the catalog. Versions are remembered for receipts that name them."""

    def __init__(self) -> None:
        self.state = Transient()
        self._seen: dict[tuple[str, str], ModelDefinition] = {}

    def replace(self, state: Transient) -> None:
        """Put these in the place of the current ones."""
        self.state = state
        for name, definition in state.definitions.items():
            self._seen.pop((name, definition.version), None)
            self._seen[name, definition.version] = definition
        for key in list(self._seen)[:-_REMEMBERED]:
            del self._seen[key]

    def seen(self, model_id: str, version: str) -> ModelDefinition | None:
        """The definition that last went by this name and version for tests."""
        return self._seen.get((model_id, version))


def place(state: Transient, inline: InlineModel, *, taken: Collection[str], served: Collection[str]) -> Transient:
    """Add a model for tests, in the place of an earlier one of its name. Purity: pure.

    `taken` are the providers of the configuration, `served` the models of the catalog. A provider goes by the name that the artifact
    gives it, unless that is another's already.

    Raises: InvalidTestConfig when it embeds a model that somebody else has.
    """
    host = inline.artifact.id
    state = without(state, host)
    guests = [*_conflicts(state, inline, served)]
    if guests:
        raise InvalidTestConfig("the test artifact", guests)
    names = _named_providers(state, inline, taken)
    models, providers, users = dict(state.models), dict(state.providers), dict(state.users)
    for artifact in (inline.artifact, *inline.embedded):
        models[artifact.id] = Guest(_defined(artifact, names), host)
    for key, name in names.items():
        providers[name] = msgspec.structs.replace(inline.providers[key], id=name)
        users[name] = users.get(name, frozenset()) | {host}
    return Transient(models, providers, users)


def without(state: Transient, model_id: str) -> Transient:
    """Take a model for tests away, with all that came in its artifact and is used by no other. Purity: pure."""
    guest = state.models.get(model_id)
    if guest is None:
        return state
    users = {name: used - {guest.host} for name, used in state.users.items()}
    return Transient(
        models={name: other for name, other in state.models.items() if other.host != guest.host},
        providers={name: provider for name, provider in state.providers.items() if users[name]},
        users={name: used for name, used in users.items() if used},
    )


def _conflicts(state: Transient, inline: InlineModel, served: Collection[str]) -> Iterator[Problem]:
    for artifact in inline.embedded:
        if artifact.id in state.models or artifact.id in served:
            message = f"expected a model_id of its own for an embedded model, got {shown(artifact.id)}, which is served already"
            yield Problem("targets", message)


def _named_providers(state: Transient, inline: InlineModel, taken: Collection[str]) -> dict[str, str]:
    """The id of each provider that an artifact brings, by the artifact's key for it."""
    names: dict[str, str] = {}
    for key, provider in inline.providers.items():
        name, number = provider.id, 1
        while name in taken or name in names.values() or not _is_free(state, name, provider):
            number += 1
            name = f"{provider.id}.{number}"
        names[key] = name
    return names


def _is_free(state: Transient, name: str, provider: ProviderBase) -> bool:
    """Whether nobody has the name, or somebody has it for the very same provider."""
    return name not in state.providers or state.providers[name] == msgspec.structs.replace(provider, id=name)


def _defined(artifact: ArtifactSettings, names: Mapping[str, str]) -> Defined:
    targets = tuple(msgspec.structs.replace(target, provider=names[target.provider]) for target in artifact.targets)
    return define(msgspec.structs.replace(artifact, targets=targets), targets)

"""Which providers there are to be, and what runs for each. Written by the catalog alone; it outlives the catalog and the branch."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType

import msgspec

from supervisors import Actor, ChildSpec, Mailbox
from wardwright.ports.server import ServerSpec
from wardwright.runtime.provider import Refit

_MANY = Mailbox(capacity=100_000)


class ServerPart(msgspec.Struct, frozen=True):
    """A model server of a provider's own. `made_for` are the settings it was made for: others want another server."""

    spec: ServerSpec
    actor: Callable[[], Actor]
    made_for: tuple[object, ...] = ()
    generation: int = 1

    @property
    def child_id(self) -> str:
        """Its name below the providers."""
        return f"{self.spec.id}.server"


class ProviderPart(msgspec.Struct, frozen=True):
    """What the tree runs for one provider: its actor, and its model server where it has one. `refit` makes a running actor like it."""

    id: str
    actor: Callable[[], Actor]
    server: ServerPart | None = None
    refit: Refit | None = None


class ProviderRoster:
    """The providers by id."""

    def __init__(self, parts: Iterable[ProviderPart] = ()) -> None:
        self.parts: Mapping[str, ProviderPart] = MappingProxyType({})
        self.replace(parts)

    def replace(self, parts: Iterable[ProviderPart]) -> None:
        """Want these, and no others."""
        self.parts = MappingProxyType({part.id: part for part in parts})

    def specs(self) -> dict[str, ChildSpec]:
        """The children that are wanted, by id, each server before its provider."""
        specs = []
        for part in self.parts.values():
            if part.server is not None:
                specs.append(ChildSpec(part.server.child_id, part.server.actor, shutdown=10.0))
            specs.append(ChildSpec(part.id, partial(self._actor, part), mailbox=_MANY))
        return {spec.id: spec for spec in specs}

    def _actor(self, part: ProviderPart) -> Actor:
        """An actor as the provider is wanted by now, whenever its child was specified."""
        return self.parts.get(part.id, part).actor()

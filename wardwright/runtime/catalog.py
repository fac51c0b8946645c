"""The catalog: which definition stands behind each public name right now.

Requests do not ask the actor: they read its board, an immutable mapping that is swapped in one step. A request keeps the
definition it began with. While the actor restarts, the last good catalog goes on serving.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from supervisors import Actor
from wardwright.domain.errors import Forbidden, UnknownModel
from wardwright.domain.route import ModelDefinition

PREFIX = "wardwright/"


class CatalogBoard:
    """The active definitions by public name. Written by the catalog actor alone."""

    def __init__(self) -> None:
        self.models: Mapping[str, ModelDefinition] = MappingProxyType({})

    def resolve(self, name: str) -> ModelDefinition:
        """The active definition for a name as a caller wrote it, with or without the `wardwright/` prefix.

        Raises: UnknownModel, Forbidden for a model that only serves other models.
        """
        definition = self.models.get(name.removeprefix(PREFIX))
        if definition is None:
            raise UnknownModel(self._unknown(name), param="model")
        if not definition.callable_from_outside:
            raise Forbidden(f"the model {name!r} is only available for internal composition", "model_internal")
        return definition

    def callable_models(self) -> list[ModelDefinition]:
        """Every model a client may call, by id."""
        return [self.models[name] for name in sorted(self.models) if self.models[name].callable_from_outside]

    def _unknown(self, name: str) -> str:
        known = ", ".join(definition.id for definition in self.callable_models()) or "none"
        return f"unknown model {name!r}; models served here: {known}"


class Catalog(Actor):
    """Compiles definitions and publishes them. A crash loses nothing: they are compiled again from the configuration."""

    def __init__(self, definitions: Callable[[], Sequence[ModelDefinition]], *, board: CatalogBoard) -> None:
        self._definitions = definitions
        self._board = board

    async def init(self) -> None:
        """Publish every configured model."""
        self._board.models = MappingProxyType({definition.id: definition for definition in self._definitions()})

    def format_status(self) -> Mapping[str, object]:
        """The active version of each model."""
        return {"active_versions": {name: model.version for name, model in self._board.models.items()}}

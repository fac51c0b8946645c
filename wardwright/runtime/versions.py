"""Every version of every model that was ever defined, by name: what receipts name can be found here again."""

from wardwright.config.artifact import Defined, decode_artifact
from wardwright.domain.control_state import ModelHistory, Version
from wardwright.domain.errors import NotFound
from wardwright.domain.route import ModelDefinition
from wardwright.runtime.control import ControlBoard
from wardwright.runtime.transient import TransientBoard


class Versions:
    """Versions from the control log, defined when they are first asked for; one version is one object from then on."""

    def __init__(self, control: ControlBoard, transient: TransientBoard) -> None:
        self.transient = transient
        self._control = control
        self._defined: dict[tuple[str, str, str], Defined] = {}

    def history(self, model_id: str) -> ModelHistory:
        """A model through time. Raises: NotFound."""
        history = self.known(model_id)
        if history is None:
            raise NotFound(f"there is no model {model_id!r}", "model_not_found")
        return history

    def known(self, model_id: str) -> ModelHistory | None:
        """A model through time, if it was ever defined."""
        return self._control.state.models.get(model_id)

    def histories(self) -> list[ModelHistory]:
        """Every model through time, by id."""
        return [history for _, history in sorted(self._control.state.models.items())]

    def active(self, history: ModelHistory) -> Version:
        """The version that a model answers with. Raises: NotFound when it is not served."""
        if history.active is None:
            raise NotFound(f"the model {history.model_id!r} has no published version", "version_not_found")
        return history.active

    def version(self, model_id: str, version: str) -> Version:
        """One version of a model. Raises: NotFound."""
        found = self.history(model_id).versions.get(version)
        if found is None:
            raise NotFound(f"the model {model_id!r} has no version {version!r}", "version_not_found")
        return found

    def defined(self, model_id: str, version: Version) -> Defined:
        """What a version defines. Raises: ConfigError when this release of Wardwright cannot read it."""
        key = (model_id, version.version, version.content)
        if key not in self._defined:
            self._defined[key] = decode_artifact(version.artifact)
        return self._defined[key]

    def definition(self, model_id: str, version: str) -> ModelDefinition:
        """The definition under a version's name; one for tests goes before. Raises: NotFound; ConfigError as `defined`."""
        seen = self.transient.seen(model_id, version)
        return seen if seen is not None else self.defined(model_id, self.version(model_id, version)).definition

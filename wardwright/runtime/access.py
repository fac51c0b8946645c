"""Who may call a model: the keys that operators made, and what a caller showed.

Decided in one step on the event loop, from what is on the control board: a key that was revoked opens nothing from then on.
"""

from collections.abc import Mapping

from wardwright.domain.control_state import ApiKey
from wardwright.domain.errors import Unauthorized
from wardwright.domain.keys import KEY_PREFIX, key_hash
from wardwright.domain.route import ModelDefinition
from wardwright.runtime.control import ControlBoard


class Access:
    """Finds the key that somebody shows, by its hash."""

    def __init__(self, control: ControlBoard) -> None:
        self._control = control
        self._indexed: Mapping[str, ApiKey] = {}
        self._by_hash: dict[str, ApiKey] = {}

    def admit(self, definition: ModelDefinition, presented: str | None) -> ApiKey | None:
        """Find the key by which a caller may use a model; None where it needs none and none was shown.

        What cannot be a key of ours is ignored by a model that needs none: client libraries insist on sending something. What looks
        like one must be one.

        Raises: Unauthorized.
        """
        if presented is None and not definition.requires_api_key:
            return None
        key = None if presented is None else self._keys().get(key_hash(presented))
        if key is not None and key.model_id == definition.id and key.revoked_at is None:
            return key
        if definition.requires_api_key or (presented or "").startswith(KEY_PREFIX):
            raise Unauthorized(_refusal(definition, key, presented))
        return None

    def _keys(self) -> Mapping[str, ApiKey]:
        known = self._control.state.keys
        if known is not self._indexed:
            self._by_hash = {key.key_hash: key for key in known.values()}
            self._indexed = known
        return self._by_hash


def _refusal(definition: ModelDefinition, key: ApiKey | None, presented: str | None) -> str:
    if presented is None:
        return (
            f"the model {definition.id!r} wants an API key: send it as a bearer token or in x-wardwright-model-api-key"
        )
    if key is not None and key.revoked_at is not None:
        return "this API key was revoked"
    return f"this API key does not open the model {definition.id!r}"

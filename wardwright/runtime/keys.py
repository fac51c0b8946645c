"""The API keys of models: made, listed, revoked. Each is a decision in the control log, which holds the hash of a key and never the key."""

from collections.abc import Mapping

import msgspec

from supervisors import System
from wardwright.domain.control import KeyCreated, KeyLimits, KeyRevoked
from wardwright.domain.control_state import ApiKey
from wardwright.domain.errors import NotFound, UnknownModel
from wardwright.domain.keys import key_hash, shown_prefix
from wardwright.domain.money import as_usd
from wardwright.domain.route import MODEL_PREFIX
from wardwright.runtime.catalog_board import CatalogBoard
from wardwright.runtime.control import ControlBoard, decide
from wardwright.runtime.identity import mint_key, mint_key_id
from wardwright.runtime.ledger import Ledger, Used
from wardwright.runtime.tree import STORAGE


class KeyUse(msgspec.Struct, frozen=True):
    """What a key has used: in the last minute, and today (UTC); what live requests have set aside is part of it."""

    requests_in_minute: int = 0
    tokens_in_minute: int = 0
    usd_today: float = 0.0
    live_requests: int = 0


class KeyView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key as operators see it; times are Unix seconds."""

    id: str
    model_id: str
    label: str
    prefix: str
    created_at: float
    caller: Mapping[str, str] = {}
    limits: KeyLimits = KeyLimits()
    revoked_at: float | None = None
    used: KeyUse = KeyUse()


class NewKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key that was just made: the only time that `key` itself is shown."""

    id: str
    model_id: str
    label: str
    prefix: str
    created_at: float
    key: str
    caller: Mapping[str, str] = {}
    limits: KeyLimits = KeyLimits()


class Keys:
    """What operators do with keys. Safe for concurrent use from the one event loop."""

    def __init__(self, system: System, control: ControlBoard, catalog: CatalogBoard, ledger: Ledger) -> None:
        self._system = system
        self._control = control
        self._catalog = catalog
        self._ledger = ledger

    async def create(self, model: str, label: str, caller: Mapping[str, str], limits: KeyLimits) -> NewKey:
        """Make a key to one model; durable when it is returned.

        Raises: UnknownModel, StorageUnavailable.
        """
        model_id = self._model_id(model)
        key, key_id = mint_key(), mint_key_id()
        event = KeyCreated(key_id, model_id, label, shown_prefix(key), key_hash(key), caller, limits)
        state = await decide(self._system.named(STORAGE), event)
        made = state.keys[key_id]
        return NewKey(key_id, model_id, label, made.prefix, made.created_at, key, caller, limits)

    def list(self, model: str | None = None) -> list[KeyView]:
        """Every key, of one model or of all, newest first; the revoked ones too.

        Raises: UnknownModel.
        """
        wanted = None if model is None else self._model_id(model)
        keys = [key for key in self._control.state.keys.values() if wanted is None or key.model_id == wanted]
        return [
            _view(key, self._ledger.used(key.key_id))
            for key in sorted(keys, key=lambda key: (key.created_at, key.key_id), reverse=True)
        ]

    async def revoke(self, key_id: str) -> KeyView:
        """Let a key open nothing from now on; revoking twice is revoking once.

        Raises: NotFound, StorageUnavailable.
        """
        if key_id not in self._control.state.keys:
            raise NotFound(f"there is no API key {key_id!r}", "api_key_not_found")
        revoked = (await decide(self._system.named(STORAGE), KeyRevoked(key_id))).keys[key_id]
        return _view(revoked, self._ledger.used(key_id))

    def _model_id(self, model: str) -> str:
        model_id = model.removeprefix(MODEL_PREFIX)
        if model_id not in self._catalog.models:
            known = ", ".join(sorted(self._catalog.models)) or "none"
            raise UnknownModel(f"unknown model {model!r}; models here: {known}", param="model")
        return model_id


def _view(key: ApiKey, used: Used) -> KeyView:
    return KeyView(
        key.key_id,
        key.model_id,
        key.label,
        key.prefix,
        key.created_at,
        key.caller,
        key.limits,
        key.revoked_at,
        KeyUse(used.requests_in_minute, used.tokens_in_minute, as_usd(used.nano_usd_today), used.live_requests),
    )

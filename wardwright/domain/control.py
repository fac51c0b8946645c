"""What operators decide, as facts in the order they became true: versions of models and what became of them, API keys.

The control log holds these entries, and `domain.control_state` folds them into the state the daemon goes by. An entry is stored as
the JSON of `encode_control`. No key is ever in it, only the hash that proves one.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

Source = Literal["file", "admin"]


class VersionAdded(msgspec.Struct, frozen=True, tag="version.added"):
    """A version of a model exists from now on, published or not, and never changes.

    `content` is the hash of what it defines, `version` the name it goes by: a label of the operator's, or that hash. `artifact` is
    the model in the configuration's own terms, with every target it routes to.
    """

    model_id: str
    version: str
    content: str
    source: Source
    artifact: msgspec.Raw


class Published(msgspec.Struct, frozen=True, tag="version.published"):
    """A version answers from now on; a canary of the model, if there was one, ends."""

    model_id: str
    version: str
    source: Source


class CanarySet(msgspec.Struct, frozen=True, tag="canary.set"):
    """A share of the model's sessions is served by another version than the published one.

    `seed` makes the choice of those sessions nobody's but the server's; it stays while the percentage of one version is changed, so
    that a growing canary keeps the sessions it has.
    """

    model_id: str
    version: str
    percent: float
    seed: int


class CanaryEnded(msgspec.Struct, frozen=True, tag="canary.ended"):
    """Every session is served by the published version again."""

    model_id: str


class RolledBack(msgspec.Struct, frozen=True, tag="version.rolled_back"):
    """The version that was published before answers again, instead of `undone`."""

    model_id: str
    version: str
    undone: str


class ModelRetired(msgspec.Struct, frozen=True, tag="model.retired", omit_defaults=True):
    """The model is served no more. Its versions stay known, for receipts that name them."""

    model_id: str
    source: Source


class KeyLimits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a key may use, in any minute and in a day of UTC. None is no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    usd_per_day: float | None = None


class KeyCreated(msgspec.Struct, frozen=True, tag="key.created", omit_defaults=True):
    """A caller that shows this key may call one model. `caller` holds the fields of the caller that the key vouches for."""

    key_id: str
    model_id: str
    label: str
    prefix: str
    key_hash: str
    caller: Mapping[str, str] = {}
    limits: KeyLimits = KeyLimits()


class KeyRevoked(msgspec.Struct, frozen=True, tag="key.revoked"):
    """The key opens nothing any more."""

    key_id: str


ModelEvent = VersionAdded | Published | CanarySet | CanaryEnded | RolledBack | ModelRetired
KeyEvent = KeyCreated | KeyRevoked
ControlEvent = ModelEvent | KeyEvent


class ControlEntry(msgspec.Struct, frozen=True):
    """One line of the control log: its place (`seq` from 1, without gaps), when in Unix seconds, and the fact."""

    seq: int
    at: float
    event: ControlEvent


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(ControlEntry)


def encode_control(entry: ControlEntry) -> bytes:
    """Render an entry as one line of JSON without a newline. Purity: pure."""
    return _encoder.encode(entry)


def decode_control(payload: bytes) -> ControlEntry:
    """Parse what `encode_control` made.

    Raises: msgspec.DecodeError (or its subclass ValidationError) for anything else.
    """
    try:
        return _decoder.decode(payload)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error

"""What the catalog can be asked to decide.

Sent by the admin API and by whoever watches the configuration. Each is answered when the decision is durable and on the board. Each may
fail with StorageUnavailable; then nothing has changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from supervisors import Call
from wardwright.config.inline_artifact import InlineModel
from wardwright.domain.route import ModelDefinition
from wardwright.runtime.catalog_file import FilesWord


@dataclass(frozen=True, slots=True)
class Drafted:
    """The version that a draft became. `is_new` is False when it was there already, with this very content."""

    version: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class AddDraft(Call[Drafted]):
    """Keep a model's next version.

    Fails with ConfigError and all that is wrong with the artifact, with Conflict when its label names another content already.
    """

    model_id: str
    artifact: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Publish(Call[None]):
    """Let a version answer from now on, if `instead_of` (where given) is what answers now; a canary of the model ends.

    Fails with NotFound, Conflict, or CannotServe when the version cannot serve beside the others as they are.
    """

    model_id: str
    version: str
    instead_of: str | None = None


@dataclass(frozen=True, slots=True)
class SetCanary(Call[None]):
    """Let a version serve a share of the sessions; zero percent ends it. Fails as `Publish` does."""

    model_id: str
    version: str
    percent: float


@dataclass(frozen=True, slots=True)
class RollBack(Call[None]):
    """Undo the last step: end the canary if there is one, otherwise publish what was published before.

    `undo` (where given) is the version that must be the one to go: the canary, or what answers now. Fails as `Publish` does.
    """

    model_id: str
    undo: str | None = None


@dataclass(frozen=True, slots=True)
class Retire(Call[None]):
    """Serve a model no more. Fails with NotFound, Conflict, or CannotServe when another model stands on it."""

    model_id: str


@dataclass(frozen=True, slots=True)
class PlaceInline(Call[ModelDefinition]):
    """Put a model for tests before the published one of its name, until somebody decides about that name or the daemon stops.

    Answered with its definition. Fails with InvalidTestConfig when it embeds a model that somebody else has, or stands on none.
    """

    model: InlineModel


@dataclass(frozen=True, slots=True)
class Reload(Call[FilesWord]):
    """Read the configuration again and follow it; answered with what followed.

    Fails with ConfigError and everything that is wrong with it; then all stays as it is.
    """

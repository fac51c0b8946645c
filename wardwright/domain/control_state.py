"""The state that the control log amounts to: the fold of its entries.

The fold bears repetition: an event that is already true changes nothing, so a writer that does not know whether its append went
through sends it again. An event that contradicts what is known is refused before it is written, and so never in a log.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, assert_never

import msgspec

from wardwright.domain.control import (
    CanaryEnded,
    CanarySet,
    ControlEntry,
    ControlEvent,
    KeyCreated,
    KeyEvent,
    KeyLimits,
    KeyRevoked,
    ModelEvent,
    ModelRetired,
    Published,
    RolledBack,
    Source,
    VersionAdded,
)

StepKind = Literal["added", "published", "canary", "canary_ended", "rolled_back", "retired"]


class Contradiction(ValueError):
    """An event that cannot follow what is already known."""


class Version(msgspec.Struct, frozen=True):
    """One immutable version of a model; see `VersionAdded`."""

    version: str
    content: str
    source: Source
    artifact: msgspec.Raw
    added_at: float


class Canary(msgspec.Struct, frozen=True):
    """The version that serves a share of the sessions; see `CanarySet`."""

    version: str
    percent: float
    seed: int


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happened to a model."""

    at: float
    what: StepKind
    version: str | None = None
    source: Source | None = None
    percent: float | None = None


class ModelHistory(msgspec.Struct, frozen=True):
    """A model through time.

    `published` is the way to the active version, which is its last: a rollback takes one step back on it. `file_version` is what the
    configuration file last said of the model, None when it said nothing or took it out. `source` is who had the last word on what
    answers.
    """

    model_id: str
    versions: Mapping[str, Version] = {}
    published: tuple[str, ...] = ()
    canary: Canary | None = None
    file_version: str | None = None
    source: Source | None = None
    retired: bool = False
    steps: tuple[Step, ...] = ()

    @property
    def active(self) -> Version | None:
        """The published version; None for a model of nothing but drafts and for a retired one."""
        return None if self.retired or not self.published else self.versions[self.published[-1]]

    @property
    def on_trial(self) -> Version | None:
        """The version of the canary, if there is one."""
        return None if self.canary is None else self.versions[self.canary.version]

    @property
    def previous(self) -> Version | None:
        """The version that a rollback would publish."""
        return self.versions[self.published[-2]] if len(self.published) > 1 else None


class ApiKey(msgspec.Struct, frozen=True):
    """A key to one model; see `KeyCreated`."""

    key_id: str
    model_id: str
    label: str
    prefix: str
    key_hash: str
    caller: Mapping[str, str]
    limits: KeyLimits
    created_at: float
    revoked_at: float | None = None


class ControlState(msgspec.Struct, frozen=True):
    """Everything operators have decided. `seq` is the entry that it stands at."""

    seq: int = 0
    models: Mapping[str, ModelHistory] = {}
    keys: Mapping[str, ApiKey] = {}


def fold_control(entries: Iterable[ControlEntry], onto: ControlState = ControlState()) -> ControlState:  # noqa: B008 - frozen
    """Carry a state on over further entries. Purity: pure.

    Raises: Contradiction naming the event that cannot follow.
    """
    models, keys, seq = dict(onto.models), dict(onto.keys), onto.seq
    for entry in entries:
        if entry.seq != seq + 1:
            raise Contradiction(f"entry {entry.seq} cannot follow entry {seq}")
        seq = entry.seq
        event = entry.event
        if isinstance(event, KeyCreated | KeyRevoked):
            keys[event.key_id] = _with_key(keys.get(event.key_id), event, entry.at)
        else:
            known = models.get(event.model_id) or ModelHistory(event.model_id)
            models[event.model_id] = _with_step(known, event, entry.at)
    return ControlState(seq, models, keys)


def fold_next(state: ControlState, events: Iterable[ControlEvent], at: float = 0.0) -> ControlState:
    """Carry a state on over events that would come next. Purity: pure. Raises: Contradiction."""
    return fold_control((ControlEntry(seq, at, event) for seq, event in enumerate(events, state.seq + 1)), state)


def _with_step(model: ModelHistory, event: ModelEvent, at: float) -> ModelHistory:
    match event:
        case VersionAdded():
            return _added(model, event, at)
        case Published():
            return _published(model, event, at)
        case CanarySet(version=version, percent=percent, seed=seed):
            _check_known(model, version)
            if model.active is None or model.active.version == version:
                raise Contradiction(
                    f"{version!r} of {model.model_id!r} cannot be a canary beside itself or beside nothing"
                )
            step = Step(at, "canary", version, percent=percent)
            return _changed(model, step, canary=Canary(version, percent, seed))
        case CanaryEnded():
            if model.canary is None:
                return model
            return _changed(model, Step(at, "canary_ended", model.canary.version), canary=None)
        case RolledBack():
            return _rolled_back(model, event, at)
        case ModelRetired(source=source):
            file_version = None if source == "file" else model.file_version
            if model.retired:  # all that may be new is that the file has no word on it any more
                return msgspec.structs.replace(model, file_version=file_version)
            step = Step(at, "retired", source=source)
            return _changed(model, step, canary=None, retired=True, source=source, file_version=file_version)
        case _:
            assert_never(event)


def _added(model: ModelHistory, event: VersionAdded, at: float) -> ModelHistory:
    known = model.versions.get(event.version)
    if known is not None:
        if known.content == event.content:
            return model
        raise Contradiction(f"{event.version!r} of {event.model_id!r} is already there with other content")
    version = Version(event.version, event.content, event.source, event.artifact, at)
    versions = {**model.versions, event.version: version}
    return _changed(model, Step(at, "added", event.version, event.source), versions=versions)


def _published(model: ModelHistory, event: Published, at: float) -> ModelHistory:
    _check_known(model, event.version)
    is_top = model.published[-1:] == (event.version,)
    return _changed(
        model,
        Step(at, "published", event.version, event.source),
        published=model.published if is_top else (*model.published, event.version),
        canary=None,
        file_version=event.version if event.source == "file" else model.file_version,
        source=event.source,
        retired=False,
    )


def _rolled_back(model: ModelHistory, event: RolledBack, at: float) -> ModelHistory:
    if model.published[-1:] == (event.version,):
        return model
    if model.published[-2:] != (event.version, event.undone):
        raise Contradiction(f"{model.model_id!r} cannot go back from {event.undone!r} to {event.version!r}")
    step = Step(at, "rolled_back", event.version)
    return _changed(model, step, published=model.published[:-1], canary=None, source="admin", retired=False)


def _changed(model: ModelHistory, step: Step, **changes: object) -> ModelHistory:
    return msgspec.structs.replace(model, steps=(*model.steps, step), **changes)


def _check_known(model: ModelHistory, version: str) -> None:
    if version not in model.versions:
        raise Contradiction(f"{model.model_id!r} has no version {version!r}")


def _with_key(known: ApiKey | None, event: KeyEvent, at: float) -> ApiKey:
    if isinstance(event, KeyRevoked):
        if known is None:
            raise Contradiction(f"there is no key {event.key_id!r}")
        return known if known.revoked_at is not None else msgspec.structs.replace(known, revoked_at=at)
    if known is None:
        return ApiKey(
            event.key_id, event.model_id, event.label, event.prefix, event.key_hash, event.caller, event.limits, at
        )
    if known.key_hash == event.key_hash:
        return known
    raise Contradiction(f"{event.key_id!r} is already there as another key")

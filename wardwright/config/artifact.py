"""The artifact: a synthetic model that stands on its own, as the admin API takes it and the control log keeps it.

It is the model's table of the configuration file as JSON, with the targets it routes to beside it. A draft may leave targets out: they
are taken from the configuration as it is then, and become part of the version. Providers never are: a version names them, and they
may change under it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from wardwright.config.checks import DeclaredModel, check_models, check_targets
from wardwright.config.definitions import content_version, define_model, selectors_of
from wardwright.config.examine import examine
from wardwright.config.problems import ConfigError, Problem, is_within, shown
from wardwright.config.settings import ModelSettings, ProviderSettings, TargetSettings
from wardwright.config.structured_output import check_structured_output
from wardwright.domain.route import MODEL_PREFIX, ModelDefinition

_HASH = "sha256:"


class ArtifactSettings(ModelSettings, frozen=True, kw_only=True):
    """A synthetic model with the targets it routes to."""

    targets: tuple[TargetSettings, ...] = ()


class Defined(msgspec.Struct, frozen=True):
    """An artifact and what it amounts to: its definition, and the hash of that definition's content."""

    artifact: ArtifactSettings
    definition: ModelDefinition
    content: str


def define(model: ModelSettings, targets: Sequence[TargetSettings]) -> Defined:
    """Make a sound model stand on its own, and define it. Purity: pure."""
    artifact = _closed(model, targets)
    definition = define_model(artifact, artifact.targets)
    return Defined(artifact, definition, content_version(definition))


def read_artifact(
    tree: Mapping[str, Any], *, targets: Sequence[TargetSettings], providers: Sequence[ProviderSettings]
) -> Defined:
    """Read a draft: an artifact of which the configuration may supply targets. Purity: pure.

    Other models that it names may be anything: whether they are there, and lead back to this one, is seen when it is to be published.

    Raises: ConfigError with every problem.
    """
    settings, problems = examine(dict(tree), ArtifactSettings, kind="models")
    own = {target.id for target in settings.targets}
    all_targets = [*settings.targets, *(target for target in targets if target.id not in own)]
    found = [
        *check_targets(settings.targets, providers, [provider.id for provider in providers]),
        *check_models([DeclaredModel(settings, "")], all_targets, nested_in(settings)),
    ]
    reported = [problem.path for problem in problems]
    problems += [problem for problem in found if not any(is_within(problem.path, path) for path in reported)]
    if not problems:
        defined = define(settings, all_targets)
        problems += _label_problems(settings.version, defined.content)
        if not problems:
            return defined
    raise ConfigError(f"the model {shown(settings.id)}", problems)


def encode_artifact(artifact: ArtifactSettings) -> msgspec.Raw:
    """Render an artifact as the control log keeps it, every default spelled out. Purity: pure."""
    return msgspec.Raw(msgspec.json.encode(artifact))


def decode_artifact(raw: bytes | msgspec.Raw) -> Defined:
    """Read what `encode_artifact` made, and define it.

    Raises: ConfigError when this version can make nothing of it.
    """
    try:
        artifact = msgspec.json.decode(raw, type=ArtifactSettings)
        faults = tuple(check_structured_output(artifact.structured_output, ""))
        if faults:
            raise ConfigError("a stored version", faults)
        return define(artifact, artifact.targets)
    except (msgspec.DecodeError, LookupError) as error:
        raise ConfigError(
            "a stored version", [Problem("", f"this version of Wardwright cannot read it: {error}")]
        ) from error


def concise(artifact: ArtifactSettings) -> dict[str, Any]:
    """An artifact as plain values without its defaults, the way a person would have written it. Purity: pure."""
    plain: dict[str, Any] = _without_defaults(artifact)
    return plain


def _closed(model: ModelSettings, targets: Sequence[TargetSettings]) -> ArtifactSettings:
    """Put the targets that a model names beside it; a model without selectors takes them all."""
    is_implicit = not selectors_of(model) and model.route_root is None
    named = _names_in(model)
    fields = {name: getattr(model, name) for name in ModelSettings.__struct_fields__}
    return ArtifactSettings(**fields, targets=tuple(t for t in targets if is_implicit or t.id in named))


def _names_in(model: ModelSettings) -> set[str | None]:
    """Everything that a model calls by name and that may be a target."""
    members = (member for selector in selectors_of(model) for member in selector.models)
    ruled = (name for rule in model.governance for name in (rule.target_model, *(rule.allowed_targets or ())))
    escalated = (rule.target for rule in model.stream_rules)
    return {model.route_root, *members, *ruled, *escalated}


def nested_in(model: ModelSettings) -> list[str]:
    """The ids of the models that a model names as members. Purity: pure."""
    return [
        name.removeprefix(MODEL_PREFIX)
        for name in _names_in(model)
        if name is not None and name.startswith(MODEL_PREFIX)
    ]


def _label_problems(label: str | None, content: str) -> Sequence[Problem]:
    if label is None or not label.startswith(_HASH) or label == content:
        return ()
    message = f"expected a label, or nothing: names beginning with {shown(_HASH)} are made from the content, which is {content}"
    return (Problem("version", message),)


def _without_defaults(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        kept = {
            field.encode_name: _without_defaults(getattr(value, field.name))
            for field in msgspec.structs.fields(value)
            if field.required or getattr(value, field.name) != field.default
        }
        tag = value.__struct_config__.tag_field
        return kept if tag is None else {tag: value.__struct_config__.tag, **kept}
    if isinstance(value, tuple | list):
        return [_without_defaults(entry) for entry in value]
    return value

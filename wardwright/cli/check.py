"""`wardwright check`: everything that is wrong with a configuration, or what it amounts to."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wardwright.cli.terminal import counted, say, show, styled, table, tell

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wardwright.config.load import Loaded
    from wardwright.domain.route import ModelDefinition, Target


def check(
    config: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="The file to check. [default: the one `serve` would take]", show_default=False
        ),
    ] = None,
) -> None:
    """Check a configuration: all problems at once, one a line. Exits 0 when there is none, 2 otherwise."""
    from wardwright.app import files

    loaded = files.load(config)
    warnings = [*map(str, loaded.warnings), *_compare_with_published(loaded)]
    for warning in warnings:
        tell(f"warning: {warning}")
    say(f"{loaded.source}: no problems")
    say(_summary(loaded, len(warnings)))
    if loaded.definitions:
        _show_models(loaded)
    if loaded.guarantees:
        _show_stream_rules(loaded)
    _show_structured_output(loaded)


def _compare_with_published(loaded: "Loaded") -> list[str]:
    """Refuse what a daemon would refuse because of what was published before; what is to be warned of. Raises: ConfigError."""
    from wardwright.app.published import contradictions
    from wardwright.config.problems import ConfigError
    from wardwright.domain.errors import StorageUnavailable

    try:
        problems = contradictions(loaded)
    except StorageUnavailable as error:
        return [f"not compared with what was published before: {error.message}"]
    if problems:
        raise ConfigError(loaded.source, problems)
    return []


def _summary(loaded: "Loaded", warnings: int) -> str:
    settings = loaded.settings
    parts = (
        counted(len(settings.providers), "provider"),
        counted(len(settings.targets), "target"),
        counted(len(loaded.definitions), "model"),
        *([counted(len(settings.sinks), "sink")] if settings.sinks else []),
        counted(warnings, "warning"),
    )
    return f"{', '.join(parts)}; serves on {settings.server.bind}, receipts in {_storage(loaded)}"


def _storage(loaded: "Loaded") -> str:
    from wardwright.app.storage import storage_of

    return storage_of(loaded.settings).where


def _show_models(loaded: "Loaded") -> None:
    made = table("MODEL", "VERSION", "ROOT", "TARGET", "WINDOW", "PROVIDER", "KIND")
    kinds = {provider.id: provider.__struct_config__.tag for provider in loaded.settings.providers}
    known = {model.id: model for model in loaded.definitions}
    for model in loaded.definitions:
        name = [model.id, model.version, model.root]
        for target in _targets(model, known):
            made.add_row(
                *map(styled, [*name, target.id, target.context_window, target.provider, kinds[target.provider]])
            )
            name = ["", "", ""]
    show(made)


def _show_stream_rules(loaded: "Loaded") -> None:
    made = table("MODEL", "STREAM RULE", "ACTION", "ON", "GUARANTEE")
    for found in loaded.guarantees:
        rule = found.rule
        action = f"{rule.action} (shadow)" if rule.shadow else rule.action
        made.add_row(*map(styled, (found.model_id, rule.id, action, ", ".join(rule.on), found.words)))
    show(made)


def _show_structured_output(loaded: "Loaded") -> None:
    from wardwright.config.structured_output import output_guarantee

    guarantees = [found for model in loaded.definitions if (found := output_guarantee(model)) is not None]
    if guarantees:
        made = table("MODEL", "STRUCTURED OUTPUT", "ANSWERS TAKEN")
        for found in guarantees:
            made.add_row(*map(styled, (found.model_id, "; ".join(found.words), found.loop)))
        show(made)


def _targets(model: "ModelDefinition", known: "Mapping[str, ModelDefinition]") -> "Iterable[Target]":
    """Every target behind a model: first those of an empty request in their order, then those that only others come to."""
    from wardwright.domain.route import PlanInputs, RequestFacts
    from wardwright.planner.compiled import compiled
    from wardwright.planner.composition import compose
    from wardwright.planner.plan import plan

    composition = compose(model, known)
    planned = plan(composition, PlanInputs(RequestFacts(estimated_prompt_tokens=0))).targets
    first = {target.id: target for target in planned}
    return {**first, **{t.id: t for t in compiled(composition).targets if t.id not in first}}.values()

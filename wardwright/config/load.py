"""Find the configuration file, read it, and make frozen settings of it, or say everything that is wrong with it.

The stages: TOML syntax, the shape of every table, included files, the environment's overrides, checks across tables, and the
definitions of the models. A syntax error stops at once, since nothing after it can be trusted; all other problems are
collected over all stages. A later stage does not repeat what an earlier one has said of the same place.
"""

import glob
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from wardwright.config.checks import (
    DeclaredModel,
    check_models,
    check_providers,
    check_server,
    check_storage,
    check_targets,
    warn_of_missing,
    warn_of_no_effect,
    warn_of_unreachable_escalation,
    warn_of_unreached,
)
from wardwright.config.defaults import embedded_config_text
from wardwright.config.definitions import define_model
from wardwright.config.examine import entry_paths, examine
from wardwright.config.problems import ConfigError, Problem, is_within, shown
from wardwright.config.settings import (
    IncludedFile,
    LlamaCppSettings,
    ModelSettings,
    ProviderSettings,
    RemoteSettings,
    Settings,
)
from wardwright.config.sink_checks import check_sinks, warn_of_missing_secrets
from wardwright.config.sinks import JsonlSinkSettings, ParquetSinkSettings, SinkSettings, files_of_sink
from wardwright.config.stream_rules import RuleGuarantee, stream_guarantees
from wardwright.domain.route import ModelDefinition
from wardwright.planner.composition import compose

FILE_NAME = "wardwright.toml"
CONFIG_VARIABLE = "WARDWRIGHT_CONFIG"
BIND_VARIABLE = "WARDWRIGHT_BIND"
DATA_DIR_VARIABLE = "WARDWRIGHT_DATA_DIR"
EMBEDDED_SOURCE = "the built-in configuration"

_POSITION = re.compile(r" ?\(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")


class Loaded(msgspec.Struct, frozen=True):
    """A configuration without problems.

    `source` names where it was read, `file` is the main file (None for the built-in configuration), `warnings` say what may surprise,
    `guarantees` what each stream rule promises. `empty_files` are those without a word in them, as problems would name them: None is the
    main file.
    """

    settings: Settings
    definitions: tuple[ModelDefinition, ...]
    source: str
    file: str | None = None
    warnings: tuple[Problem, ...] = ()
    guarantees: tuple[RuleGuarantee, ...] = ()
    empty_files: tuple[str | None, ...] = ()


def find_config(explicit: Path | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    """Choose the configuration file: the explicit one, `WARDWRIGHT_CONFIG`, the working directory, the XDG config folder.

    The first two are taken at their word, so that a file which is missing there is a problem and not passed over.

    Returns: None when no file was named and none was found.
    """
    if explicit is not None:
        return explicit
    if environ.get(CONFIG_VARIABLE):
        return Path(environ[CONFIG_VARIABLE])
    config_home = environ.get("XDG_CONFIG_HOME") or _expand_home("~/.config", environ)
    candidates = (cwd / FILE_NAME, Path(config_home) / "wardwright" / FILE_NAME)
    return next((path for path in candidates if path.is_file()), None)


def load_config(path: Path | None, environ: Mapping[str, str], *, weights_available: bool = False) -> Loaded:
    """Load a configuration file, or the built-in configuration when there is none.

    Args:
        path: the file, None for the built-in configuration.
        environ: the environment, for overrides, the home folder and the presence of credentials.
        weights_available: whether the built-in configuration may rely on the local model.

    Raises:
        ConfigError: with every problem of the configuration.
    """
    if path is None:
        return _load_text(embedded_config_text(weights_available), EMBEDDED_SOURCE, Path.cwd(), environ)
    source = str(path)
    try:
        text = _read_text(path)
    except (OSError, ValueError) as error:
        raise ConfigError(source, [Problem("", f"cannot read the file: {_why(error)}")]) from error
    loaded = _load_text(text, source, path.absolute().parent, environ)
    return msgspec.structs.replace(loaded, file=str(path.absolute()))


def files_of(loaded: Loaded, environ: Mapping[str, str]) -> list[Path]:
    """The files that a configuration is in by now: its own, and whatever its includes match. Reads folders."""
    if loaded.file is None:
        return []
    main = Path(loaded.file)
    patterns = (_expand_home(pattern, environ) for pattern in loaded.settings.include.models)
    included = (main.parent / file for pattern in patterns for file in _matches(pattern, main.parent))
    return [main, *included]


def _load_text(text: str, source: str, folder: Path, environ: Mapping[str, str]) -> Loaded:
    try:
        tree = _parse(text)
    except ValueError as error:
        raise ConfigError(source, [_syntax_problem(error)]) from error
    settings, problems = examine(tree, Settings)
    models = _declared(settings.models, tree, None)
    empty_files: list[str | None] = [] if text.strip() else [None]
    for index, pattern in enumerate(settings.include.models):
        pattern, path = _expand_home(pattern, environ), f"include.models[{index}]"
        models += _include(pattern, path, folder, problems, empty_files)
    settings, bind_path = _override(settings, environ)
    settings = _resolve_paths(settings, folder, environ)
    found = [
        *check_server(settings.server, bind_path, environ),
        *check_storage(settings.storage, environ),
        *check_providers(settings.providers),
        *check_targets(settings.targets, settings.providers, _names(tree.get("providers"))),
        *check_models(models, settings.targets),
        *check_sinks(settings.sinks),
    ]
    reported = [(problem.file, problem.path) for problem in problems]
    problems += [problem for problem in found if not _is_known(problem, reported)]
    if problems:
        raise ConfigError(source, problems)
    settings = msgspec.structs.replace(settings, models=tuple(model.settings for model in models))
    definitions = tuple(define_model(model, settings.targets) for model in settings.models)
    warnings = [
        *warn_of_missing(settings.providers, environ),
        *warn_of_missing_secrets(settings.sinks, environ),
    ]
    for model, definition in zip(models, definitions, strict=True):
        warnings += warn_of_unreached(model, definition)
    warnings += warn_of_no_effect(models, settings.targets)
    known = {definition.id: definition for definition in definitions}
    warnings += warn_of_unreachable_escalation(models, [compose(definition, known) for definition in definitions])
    guarantees = tuple(found for definition in definitions for found in stream_guarantees(definition))
    if not models:
        warnings.append(Problem("models", "no model is configured, so there is nothing to call"))
    return Loaded(
        settings=settings,
        definitions=definitions,
        source=source,
        warnings=tuple(warnings),
        guarantees=guarantees,
        empty_files=tuple(empty_files),
    )


def _parse(text: str) -> dict[str, Any]:
    """Parse TOML; every way to fail is a ValueError."""
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("tables or lists are nested too deeply") from error


def _syntax_problem(error: ValueError) -> Problem:
    message = str(error)
    position = _POSITION.search(message)
    if position is None:
        return Problem("", f"expected valid TOML: {message}")
    place = "end of file" if position["line"] is None else f"line {position['line']}, column {position['column']}"
    return Problem(place, f"expected valid TOML: {message[: position.start()]}")


def _declared(models: tuple[ModelSettings, ...], tree: Mapping[str, Any], file: str | None) -> list[DeclaredModel]:
    paths = entry_paths("models", [model.id for model in models])
    return [DeclaredModel(model, path, file) for model, path in zip(models, paths, strict=True)]


def _include(
    pattern: str, path: str, folder: Path, problems: list[Problem], empty_files: list[str | None]
) -> list[DeclaredModel]:
    """Read the files that one entry of `[include]` names, adding to the lists their problems, and those that are empty."""
    files = _matches(pattern, folder)
    if not files and not glob.has_magic(pattern):
        problems.append(Problem(path, f"expected a file, got {shown(pattern)}, which does not exist"))
    models: list[DeclaredModel] = []
    for file in files:
        try:
            text = _read_text(folder / file)
            tree = _parse(text)
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem("", f"cannot read the file: {_why(error)}", file))
        except ValueError as error:
            syntax = _syntax_problem(error)
            problems.append(Problem(syntax.path, syntax.message, file))
        else:
            included, found = examine(tree, IncludedFile, file)
            problems += found
            models += _declared(included.models, tree, file)
            if not text.strip():
                empty_files.append(file)
    return models


def _matches(pattern: str, folder: Path) -> list[str]:
    try:
        found = glob.glob(pattern, root_dir=folder, recursive=True)
    except ValueError:  # a null character: no file has such a name
        return []
    return sorted(file for file in found if (folder / file).is_file())


def _override(settings: Settings, environ: Mapping[str, str]) -> tuple[Settings, str]:
    """Let the environment win; return the settings and the path by which to speak of the bind address."""
    server, storage = settings.server, settings.storage
    bind_path = "server.bind"
    if environ.get(BIND_VARIABLE):
        server = msgspec.structs.replace(server, bind=environ[BIND_VARIABLE])
        bind_path = BIND_VARIABLE
    if environ.get(DATA_DIR_VARIABLE):
        storage = msgspec.structs.replace(storage, path=environ[DATA_DIR_VARIABLE])
    return msgspec.structs.replace(settings, server=server, storage=storage), bind_path


def _resolve_paths(settings: Settings, folder: Path, environ: Mapping[str, str]) -> Settings:
    """Make every path absolute: `~` is the home folder, and a relative path begins at the configuration file."""

    def resolve(path: str) -> str:
        return str(folder / _expand_home(path, environ))

    def resolve_provider(provider: ProviderSettings) -> ProviderSettings:
        if isinstance(provider, RemoteSettings) and provider.credential_file is not None:
            return msgspec.structs.replace(provider, credential_file=resolve(provider.credential_file))
        if isinstance(provider, LlamaCppSettings) and provider.model_path is not None:
            return msgspec.structs.replace(provider, model_path=resolve(provider.model_path))
        return provider

    def resolve_sink(sink: SinkSettings) -> SinkSettings:
        if isinstance(sink, JsonlSinkSettings | ParquetSinkSettings):
            return msgspec.structs.replace(sink, path=resolve(sink.path))
        return msgspec.structs.replace(sink, **{key: resolve(path) for key, path in files_of_sink(sink).items()})

    storage = msgspec.structs.replace(settings.storage, path=resolve(settings.storage.path))
    providers = tuple(resolve_provider(provider) for provider in settings.providers)
    sinks = tuple(resolve_sink(sink) for sink in settings.sinks)
    return msgspec.structs.replace(settings, storage=storage, providers=providers, sinks=sinks)


def _expand_home(path: str, environ: Mapping[str, str]) -> str:
    if path == "~" or path.startswith("~/"):
        return (environ.get("HOME") or str(Path.home())) + path[1:]
    return path


def _names(entries: Any) -> list[str]:
    """The ids that a list of raw tables declares, usable or not."""
    if not isinstance(entries, list):
        return []
    names = [entry.get("id") for entry in entries if isinstance(entry, dict)]
    return [name for name in names if isinstance(name, str)]


def _is_known(problem: Problem, reported: list[tuple[str | None, str]]) -> bool:
    return any(problem.file == file and is_within(problem.path, path) for file, path in reported)


def _read_text(path: Path) -> str:
    return path.read_bytes().decode("utf-8-sig")


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"expected UTF-8 text, got other bytes at offset {error.start}"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)

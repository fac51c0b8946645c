"""`wardwright init`: the first configuration file, written from what the machine has."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wardwright.cli.terminal import say

if TYPE_CHECKING:
    from wardwright.config.defaults import Discovered

_FILE_NAME = "wardwright.toml"


def init(
    *,
    path: Annotated[Path, typer.Option("--path", metavar="FILE", help="Where to write it.")] = Path(_FILE_NAME),
    force: Annotated[bool, typer.Option("--force", help="Replace the file when it exists.")] = False,
) -> None:
    """Write a first configuration, from what this machine can reach. Its comments say what each part is for."""
    from wardwright.app import files
    from wardwright.cli.client import CommandFailed
    from wardwright.cli.discover import discover
    from wardwright.config.defaults import render_config
    from wardwright.config.load import load_config

    if path.exists() and not force:
        raise CommandFailed(f"{path} exists and is left as it is; --force replaces it, --path writes elsewhere")
    built_in = load_config(None, os.environ, weights_available=True).settings
    weights_missing = bool(files.weights_needed(built_in, Path(built_in.storage.path)))
    found = discover(os.environ, weights_present=not weights_missing)
    _write(path, render_config(found), replace=force)
    say(f"wrote {path}")
    for line in [*_findings(found), *_next_steps(path, found, weights_missing=weights_missing)]:
        say(line)


def _write(path: Path, text: str, *, replace: bool) -> None:
    """Write the whole file or none of it."""
    from wardwright.cli.client import CommandFailed

    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        try:
            if replace:
                draft.replace(path)
            else:
                os.link(draft, path)  # unlike a rename it fails when somebody made the file meanwhile
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise CommandFailed(f"cannot write {path}: {error.strerror or error}") from error


def _findings(found: "Discovered") -> list[str]:
    lines = []
    if found.ollama_models:
        names = ", ".join(model.name for model in found.ollama_models)
        lines.append(f"  Ollama at {found.ollama_base_url}: {names}")
    lines += [f"  a key in {name}" for name in sorted(found.credentials)]
    if found.embedded_weights:
        lines.append("  SmolLM2, the small model that Wardwright runs itself")
    if not lines:
        return ["found no model on this machine, so the file answers with a canned demo"]
    return ["found", *lines]


def _next_steps(path: Path, found: "Discovered", *, weights_missing: bool) -> list[str]:
    from wardwright.app.banner import own_command

    is_default, command = path == Path(_FILE_NAME), own_command()
    option = "" if is_default else f" --config {path}"
    steps = [f"  {command} check{'' if is_default else f' {path}'}"]
    if found.embedded_weights and weights_missing:
        steps.append(f"  {command} models pull{option}")
    return ["next", *steps, f"  {command} serve{option}"]

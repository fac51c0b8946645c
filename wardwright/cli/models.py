"""`wardwright models`: what callers may ask for, and the weights that local models need."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wardwright.cli.options import ConfigOption, JsonOption, UrlOption
from wardwright.cli.terminal import console, say, show, show_json, styled, table, tell, visible
from wardwright.cli.versions import add_commands

if TYPE_CHECKING:
    from collections.abc import Iterator

Progress = Callable[[int, int], None]

_MEGABYTE = 1_000_000
_LINES_PER_PULL = 10

models = typer.Typer(help="The models that callers ask for: versions, graphs, weights.", no_args_is_help=True)
add_commands(models)


@models.command("list")
def list_models(*, config: ConfigOption = None, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the models a running daemon serves."""
    from wardwright.cli.client import connect_by

    with connect_by(config, url) as daemon:
        answer = daemon.get("/v1/wardwright/models", holding="data")
    if as_json:
        show_json(answer)
        return
    made = table("MODEL", "VERSION", "ROUTE", "DESCRIPTION")
    for model in answer["data"]:
        facts = (model.get(name, "") for name in ("id", "active_version", "route_type", "description"))
        made.add_row(*map(styled, facts))
    show(made)


@models.command("pull")
def pull(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="Weights to fetch. [default: what the configuration needs]", show_default=False
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Fetch model weights into the data folder."""
    from wardwright.app import files
    from wardwright.config.load import find_config, load_config

    # The built-in configuration stands in for a missing file as it would be once its weights are there.
    found = find_config(config, os.environ, Path.cwd())
    settings = load_config(found, os.environ, weights_available=True).settings
    data_dir = Path(settings.storage.path)
    if name is not None and name not in files.weights_known():
        known = ", ".join(files.weights_known())
        raise typer.BadParameter(f"no weights are known as {name!r}; known: {known}", param_hint="NAME")
    names = [name] if name else files.weights_needed(settings, data_dir)
    if not names:
        say("nothing to pull: every model of the configuration has its weights")
    for wanted in names:
        _pull(wanted, data_dir)


def _pull(name: str, data_dir: Path) -> None:
    from wardwright.app import files

    with _progress(name) as on_progress:
        path = files.pull_weights(name, data_dir, on_progress)
    say(f"{name} is in {path}")


def _progress(name: str) -> AbstractContextManager[Progress]:
    return _bar(name) if console(stderr=True).is_terminal else _lines(name)


@contextmanager
def _bar(name: str) -> "Iterator[Progress]":
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task(visible(f"pulling {name}"), total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)


@contextmanager
def _lines(name: str) -> "Iterator[Progress]":
    """A line at the beginning and at every tenth of the way."""
    told = 0

    def on_progress(done: int, total: int) -> None:
        nonlocal told
        reached = done * _LINES_PER_PULL // total if total else 0
        if reached > told:
            told = reached
            tell(f"pulling {name}: {done // _MEGABYTE} of {total // _MEGABYTE} MB")

    tell(f"pulling {name}")
    yield on_progress

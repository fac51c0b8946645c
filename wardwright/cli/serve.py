"""`wardwright serve`: the daemon."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from wardwright.cli.options import ConfigOption


def serve(
    config: ConfigOption = None,
    log_format: Annotated[
        Literal["text", "json"], typer.Option("--log-format", help="Log lines for people or for programs.")
    ] = "text",
) -> None:
    """Run the daemon in the foreground; it logs to stderr. Without a configuration file the built-in one is used."""
    from wardwright.app.daemon import run_daemon
    from wardwright.app.files import load

    loaded = load(config)
    # a file that was found is the file from now on: without it the daemon must not slip over to another configuration
    reload = partial(load, None if loaded.file is None else Path(loaded.file))
    raise typer.Exit(run_daemon(loaded, log_format=log_format, reload=reload))

"""`wardwright serve`: the daemon."""

from functools import partial
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

    raise typer.Exit(run_daemon(load(config), log_format=log_format, reload=partial(load, config)))

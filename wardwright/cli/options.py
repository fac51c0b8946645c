"""Options that several commands share, so that they are spelled and explained alike."""

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Configuration file. [default: $WARDWRIGHT_CONFIG, ./wardwright.toml, then the XDG config folder]",
        show_default=False,
    ),
]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        envvar="WARDWRIGHT_URL",
        help="The daemon to ask. [default: where the configuration binds]",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Plain JSON on stdout, for programs.")]
ProcessesOption = Annotated[
    int | None,
    typer.Option(
        "--processes",
        metavar="N",
        min=1,
        max=64,
        help="How many processes read a large store side by side. [default: one for each core, up to 8]",
        show_default=False,
    ),
]

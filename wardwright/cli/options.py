"""Options that several commands share, so that they are spelled and explained alike."""

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGE = re.compile(r"(\d{1,6})([smhdw])")


def age(text: str) -> int:
    """An age in seconds. Raises: BadParameter."""
    matched = _AGE.fullmatch(text)
    if matched is None:
        raise typer.BadParameter(f"{text!r} is no age such as 6h or 1d")
    return int(matched[1]) * _UNITS[matched[2]]


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
SinceOption = Annotated[
    int | None,
    typer.Option("--since", metavar="AGE", parser=age, help="Only those not older than this: 90s, 15m, 6h, 1d, 2w."),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="NAME=VALUE",
        help="Only those of which this holds, by a filter of `GET /v1/receipts`. May be repeated.",
    ),
]


def filters_of(
    *, since: int | None = None, model: str | None = None, where: Sequence[str] | None = None
) -> Mapping[str, str]:
    """The filters that these options stand for. Raises: BadParameter."""
    from wardwright.receipts.query import FILTERS

    filters: dict[str, str] = {}
    for text in where or ():
        name, equals, value = text.partition("=")
        if not equals or name not in FILTERS:
            raise typer.BadParameter(
                f"{text!r} is not NAME=VALUE with one of {', '.join(FILTERS)}", param_hint="--where"
            )
        filters[name] = value
    if model is not None:
        filters["model"] = model
    if since is not None:
        filters["created_at_min"] = str(int(time.time()) - since)
    return filters

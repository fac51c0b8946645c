"""The options by which commands choose receipts, spelled and explained alike: a span of time, the model, any filter of the API."""

import math
import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, get_args

import typer

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGE = re.compile(r"([0-9]{1,6})([smhdw])")
_SECONDS = re.compile(r"-?[0-9]+|\s*")

# The words of `stats --by`, which are shorter than the names of the API.
_SHORT = {
    "tenant": "tenant_id",
    "application": "application_id",
    "agent": "consuming_agent_id",
    "user": "consuming_user_id",
    "session": "session_id",
    "run": "run_id",
    "version": "model_version",
    "target": "selected_model",
    "provider": "selected_provider",
    "tool": "tool_name",
}


def moment(text: str) -> int:
    """`exact_moment` for receipts, which are timed in whole seconds: the first second that does not begin before it."""
    return math.ceil(exact_moment(text))


def exact_moment(text: str) -> float:
    """Unix seconds of an age such as `6h`, or of a day or moment by ISO 8601. Raises: BadParameter.

    Where no zone is named it is that of this machine, in which lists show their times.
    """
    if matched := _AGE.fullmatch(text):
        return int(time.time()) - int(matched[1]) * _UNITS[matched[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is no age such as 6h or 1d, and no day or moment such as 2026-11-01 or 2026-11-01T12:00:00"
        ) from None


SinceOption = Annotated[
    int | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        parser=moment,
        help="Only those from then on: 90s, 15m, 6h, 1d, 2w ago, or 2026-11-01, 2026-11-01T12:00:00Z.",
    ),
]
UntilOption = Annotated[
    int | None,
    typer.Option("--until", metavar="WHEN", parser=moment, help="Only those from before then, said as for --since."),
]
ModelOption = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Only of this model.")]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="NAME=VALUE",
        help="Only those of which this holds, such as user=jane: a filter of `GET /v1/receipts`, or a word of `stats --by`. "
        "May be repeated.",
    ),
]


def filters_of(
    *,
    since: int | None = None,
    until: int | None = None,
    model: str | None = None,
    where: Sequence[str] | None = None,
    **others: str | None,
) -> Mapping[str, str]:
    """The filters of the API that these options stand for; `others` are given by its names.

    The API passes over a filter without a value, and takes one value for each. Here a person, or a variable of a script, has said something
    else than was meant.

    Raises: BadParameter.
    """
    earliest = None if since is None else str(since)
    # Receipts are timed in whole seconds, and this one is not among them.
    latest = None if until is None else str(until - 1)
    others |= {"model": model, "created_at_min": earliest, "created_at_max": latest}
    filters: dict[str, str] = {}
    for name, value in (*map(_read, where or ()), *others.items()):
        if value is None:
            continue
        if not value.strip():
            raise typer.BadParameter(f"{name}: expected a value, got nothing")
        if filters.setdefault(name, value) != value:
            raise typer.BadParameter(f"{name}: expected one value, got {filters[name]!r} and {value!r}")
    return filters


def known(word: str, words: Sequence[str], option: str) -> str:
    """The word, when it is one of them. Raises: BadParameter naming the option."""
    from wardwright.config.problems import nearest_hint

    if word in words:
        return word
    hint = nearest_hint(word, words) or f", expected one of {', '.join(words)}"
    raise typer.BadParameter(f"unknown {word!r}{hint}", param_hint=option)


def _read(text: str) -> tuple[str, str]:
    """A filter of the API and its value. A value that no receipt can have is a mistake here, where a person typed it."""
    from wardwright.domain.policy import StreamAction
    from wardwright.domain.tools import ToolPhase, ToolSource
    from wardwright.receipts.query import FILTERS, STATUSES

    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--where")
    name = _SHORT.get(name) or known(name, (*_SHORT, *FILTERS), "--where")
    words: Mapping[str, tuple[str, ...]] = {
        "status": STATUSES,
        "stream_policy_action": get_args(StreamAction),
        "simulation": ("true", "false"),
        "tool_phase": get_args(ToolPhase),
        "tool_source": get_args(ToolSource),
    }
    if name.startswith("created_at") and not _SECONDS.fullmatch(value):
        raise typer.BadParameter(
            f"{name}: expected whole Unix seconds, got {value!r}; --since and --until take days and moments"
        )
    return name, known(value, words[name], f"--where {name}") if name in words else value

"""`wardwright keys`: who may call a model of a running daemon, and how much."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from wardwright.cli.options import ConfigOption, JsonOption, UrlOption
from wardwright.cli.terminal import counted, say, show, show_json, styled, table, tell

_PATH = "/admin/model-api-keys"

keys = typer.Typer(help="API keys of the models of a running daemon.", no_args_is_help=True)


@keys.command("create")
def create(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model that the key opens.")],
    *,
    label: Annotated[str, typer.Option("--label", metavar="TEXT", help="What the key is for.")],
    bind: Annotated[
        list[str] | None,
        typer.Option(
            "--bind",
            metavar="FIELD=VALUE",
            help="What the key vouches for: tenant_id, application_id, consuming_agent_id or consuming_user_id. Repeatable.",
        ),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            metavar="NAME=NUMBER",
            help="What the key may use: requests_per_minute, tokens_per_minute or usd_per_day. Repeatable.",
        ),
    ] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key. It is shown this once: the daemon keeps only its hash."""
    from wardwright.cli.client import connect_by

    body = {
        "model": model,
        "label": label,
        "caller": dict(_pairs(bind, "--bind")),
        "limits": {name: _number(name, value) for name, value in _pairs(limit, "--limit")},
    }
    with connect_by(config, url) as daemon:
        made = daemon.post(_PATH, body, holding="api_key")["api_key"]
    if as_json:
        show_json(made)
        return
    say(made["key"])
    tell(f"{made['id']} opens {made['model_id']}; this is the only time that the key is shown")


@keys.command("list")
def list_keys(
    *,
    model: Annotated[str | None, typer.Option("--model", metavar="MODEL", help="Only the keys of this model.")] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List keys, newest first. What each is for, what it vouches for and may use; never the key."""
    from wardwright.cli.client import connect_by

    with connect_by(config, url) as daemon:
        found = daemon.get(_PATH, {"model": model} if model else None, holding="data")["data"]
    if as_json:
        show_json(found)
        return
    made = table("ID", "MODEL", "KEY", "LABEL", "CREATED", "VOUCHES FOR", "LIMITS", "USED", "STATE", whole=3)
    for key in found:
        made.add_row(*map(styled, _row(key)))
    show(made)


@keys.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id of the key, as `keys list` shows it.")],
    *,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a key open nothing from now on. Requests that are being answered are answered to their end."""
    from urllib.parse import quote

    from wardwright.cli.client import connect_by

    with connect_by(config, url) as daemon:
        revoked = daemon.delete(f"{_PATH}/{quote(key_id, safe='')}", holding="deleted")
    if as_json:
        show_json(revoked)
        return
    say(f"{revoked['id']} is revoked")


def _pairs(options: list[str] | None, hint: str) -> Iterator[tuple[str, str]]:
    for option in options or ():
        name, equals, value = option.partition("=")
        if not equals:
            raise typer.BadParameter(f"expected NAME=VALUE, got {option!r}", param_hint=hint)
        yield name, value


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise typer.BadParameter(f"{name}: expected a number, got {value!r}", param_hint="--limit") from None
    return int(number) if number.is_integer() else number


def _row(key: Mapping[str, Any]) -> tuple[str, ...]:
    from wardwright.cli.receipt_story import moment

    limits, bound = key.get("limits", {}), key.get("caller", {})
    return (
        key["id"],
        key["model_id"],
        f"{key['prefix']}…",
        key["label"],
        moment(key["created_at"]),
        ", ".join(f"{field}={value}" for field, value in bound.items()) or "-",
        ", ".join(f"{value:g} {name.replace('_', ' ')}" for name, value in limits.items()) or "-",
        _used(key["used"]),
        "active" if key.get("revoked_at") is None else f"revoked {moment(key['revoked_at'])}",
    )


def _used(used: Mapping[str, Any]) -> str:
    minute = f"{counted(used['requests_in_minute'], 'request')}, {counted(used['tokens_in_minute'], 'token')} in the last minute"
    return f"{minute}; {used['usd_today']:g} USD today"

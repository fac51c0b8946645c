"""`wardwright sinks`: the sinks of a running daemon, and their dead letters. `receipts export --to-sink` sends everything again."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from wardwright.cli.options import ConfigOption, JsonOption, UrlOption
from wardwright.cli.terminal import counted, counting, say, show, show_json, styled, table, tell

Json = Mapping[str, Any]
SinkArgument = Annotated[str, typer.Argument(metavar="ID", help="The sink, by its id in the configuration.")]

_LOOKS_EVERY_S = 0.2
_STATE_STYLES = {"idle": "green", "sending": "green", "starting": "yellow", "paused": "yellow", "failing": "red"}

sinks = typer.Typer(help="Sinks of a running daemon: where receipts go on to.", no_args_is_help=True)


@sinks.command("list")
def list_sinks(*, config: ConfigOption = None, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List sinks: how each one is, and how far behind. And what it has delivered and refused."""
    from wardwright.cli.client import connect_by

    with connect_by(config, url) as daemon:
        found = daemon.get("/admin/sinks", holding="data")
    if as_json:
        show_json(found)
        return
    if not found["data"]:
        tell("no sinks are configured")
        return
    listed = table("SINK", "KIND", "WHERE", "STATE", "BEHIND", "DELIVERED", "DEAD LETTERS", "LAST ERROR")
    for sink in found["data"]:
        listed.add_row(
            styled(sink["id"]),
            styled(sink["kind"]),
            styled(sink["where"]),
            styled(_state(sink), _STATE_STYLES.get(sink["state"], "")),
            styled(_behind(sink)),
            styled(sink["delivered"]),
            styled(sink["dead_letters"] or ""),
            styled(sink["last_error"] or ""),
        )
    show(listed)


@sinks.command("show")
def show_sink(
    sink_id: SinkArgument, *, config: ConfigOption = None, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Show one sink, and where in the log its dead letters lie."""
    from rich.table import Table

    from wardwright.cli.client import connect_by

    with connect_by(config, url) as daemon:
        sink = daemon.get(_path(sink_id), holding="id")
    if as_json:
        show_json(sink)
        return
    grid = Table.grid(padding=(0, 2))
    for name, value in _facts(sink):
        grid.add_row(styled(name, "bold"), styled(value))
    show(grid)


@sinks.command("replay")
def replay(
    sink_id: SinkArgument, *, config: ConfigOption = None, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Send a sink's dead letters again, before anything else. What is refused again is a dead letter again."""
    from wardwright.cli.client import connect_by

    with connect_by(config, url) as daemon:
        answer = daemon.post(f"{_path(sink_id)}/dead-letters/replay", holding="dead_letters")
    if as_json:
        show_json(answer)
    elif answer["dead_letters"]:
        say(
            f"{counted(answer['dead_letters'], 'dead letter')} of {sink_id} to be sent again; `wardwright sinks list` shows how that goes"
        )
    else:
        say(f"{sink_id} has no dead letters")


@sinks.command("pause")
def pause(
    sink_id: SinkArgument, *, config: ConfigOption = None, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Send a sink nothing until it is resumed, also after a restart. What waits stays in the log, as far as `on_full` and retention let it."""
    sink = _turned("pause", sink_id, config, url, as_json=as_json)
    if not as_json:
        say(f"{sink_id} is paused; behind: {_behind(sink) or 'nothing yet'}")


@sinks.command("resume")
def resume(
    sink_id: SinkArgument, *, config: ConfigOption = None, url: UrlOption = None, as_json: JsonOption = False
) -> None:
    """Send a sink what waits for it, at once. Also if it was left alone because it had failed."""
    sink = _turned("resume", sink_id, config, url, as_json=as_json)
    if not as_json:
        say(f"{sink_id} goes on; behind: {_behind(sink) or 'nothing'}")


def _turned(how: str, sink_id: str, config: Path | None, url: str | None, *, as_json: bool) -> Json:
    """Pause or resume a sink; how it is then."""
    from wardwright.cli.client import connect_by

    with connect_by(config, url) as daemon:
        sink: Json = daemon.post(f"{_path(sink_id)}/{how}", holding="state")
    if as_json:
        show_json(sink)
    return sink


def export_to_sink(sink_id: str, after: int, config: Path | None, url: str | None) -> None:
    """Have everything behind a position of the log sent again: by the daemon, which keeps the order, or here when none answers."""
    from wardwright.cli.client import NoAnswer, connect, daemon_address, settings_of

    settings = settings_of(config, url)
    address = daemon_address(url, settings)
    try:
        with connect(address) as daemon:
            before = daemon.get(_path(sink_id), holding="id")
            answer = daemon.post(f"{_path(sink_id)}/export", {"from": after}, holding="to")
            if answer["place_was_lost"]:
                say(
                    f"the place of {sink_id} was lost: the daemon sends it what was recorded behind position {after}, and goes on from there"
                )
                return
            sent = _watch(lambda: daemon.get(_path(sink_id), holding="id"), before["delivered"])
    except NoAnswer:
        if address.is_named:
            raise
    else:
        say(f"{counted(sent, 'record')} sent to {sink_id}")
        return
    tell(f"no daemon answers at {address.url}; reading {settings.storage.path}")
    _export_here(settings, sink_id, after)


def _watch(look: Any, delivered: int) -> int:
    """Wait until the daemon has sent everything, or will not for now; tell how much that was."""
    problem = None
    with counting("sending", "records", 0) as at:
        while True:
            sink = look()
            at(sink["delivered"] - delivered)
            if not sink["sending_again"]:
                return int(sink["delivered"]) - delivered
            if sink["state"] == "paused":
                tell("the sink is paused, and the daemon sends the rest when it is resumed")
                return int(sink["delivered"]) - delivered
            if sink["state"] == "failing" and sink["last_error"] != problem:
                problem = sink["last_error"]
                tell(f"the sink is failing, and the daemon goes on by itself: {problem}")
            time.sleep(_LOOKS_EVERY_S)


def _export_here(settings: Any, sink_id: str, after: int) -> None:
    from wardwright.app import sink_export

    with counting("sending", "records", 0) as at:
        exported = sink_export.export_to_sink(settings, sink_id, after, at)
    for key, reason in list(exported.refused.items())[:20]:
        tell(f"{key} was refused: {reason}")
    say(f"{counted(exported.records, 'record')} sent to {sink_id}, {len(exported.refused)} refused")
    if exported.place_was_lost:
        tell("the place of the sink was lost: it is behind these records now")
    if exported.refused:
        raise typer.Exit(1)


def _path(sink_id: str) -> str:
    return f"/admin/sinks/{quote(sink_id, safe='')}"


def _state(sink: Json) -> str:
    words = [sink["state"], *(["stale"] if sink["stale"] else []), *(["full"] if sink["full"] else [])]
    return ", ".join(words)


def _behind(sink: Json) -> str:
    if sink["lag_entries"] is None:
        return "not known yet"
    if not sink["lag_entries"] and not sink["lag_seconds"]:
        return ""
    return f"{counted(sink['lag_entries'], 'entry', 'entries')}, {sink['lag_seconds']:.0f} s"


def _facts(sink: Json) -> Iterator[tuple[str, object]]:
    for name, value in sink.items():
        if name != "dead_letter_stretches" and value is not None:
            yield name.replace("_", " "), _shown(name, value)
    for stretch in sink["dead_letter_stretches"]:
        yield "", f"{stretch['count']} behind {stretch['after']} up to {stretch['last']}: {stretch['reason']}"


def _shown(name: str, value: object) -> object:
    from wardwright.cli.receipt_story import clock

    if isinstance(value, bool):
        return "yes" if value else "no"
    return clock(value) if name.endswith("_at") and isinstance(value, int | float) else value

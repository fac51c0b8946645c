"""`wardwright receipts replay`: are past decisions what their recorded facts lead to, and what would another version decide?"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wardwright.cli.filters import ModelOption, SinceOption, UntilOption, WhereOption, filters_of
from wardwright.cli.options import ConfigOption, JsonOption, UrlOption
from wardwright.cli.terminal import console, counted, say, show, show_json, styled, table, tell

if TYPE_CHECKING:
    from wardwright.cli.client import Daemon

Json = dict[str, Any]

_ALL = 1_000_000_000


def replay(  # noqa: PLR0913 - each is an option of the command
    receipt_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="This receipt's request.", show_default=False)
    ] = None,
    *,
    since: SinceOption = None,
    until: UntilOption = None,
    model: ModelOption = None,
    where: WhereOption = None,
    version: Annotated[
        str | None,
        typer.Option("--version", metavar="VERSION", help="Decide under this version of the model, a draft for one."),
    ] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide past requests again from their recorded facts. With --version, as that version would have. Nobody is called.

    Exits 1 when a receipt cannot be replayed, or when without --version a decision comes out otherwise.
    """
    from wardwright.cli.client import connect_by

    filters = filters_of(since=since, until=until, model=model, where=where)
    if (receipt_id is None) != bool(filters):
        raise typer.BadParameter("name one receipt, or several by --since and other filters", param_hint="ID")
    if receipt_id is None and version is not None and "model" not in filters:
        raise typer.BadParameter("needs --model here: it is a version of one model", param_hint="--version")
    with connect_by(config, url) as daemon:
        if receipt_id is not None:
            is_good = _replay_one(daemon, receipt_id, version, as_json=as_json)
        else:
            is_good = _replay_all(daemon, filters, version, as_json=as_json)
    if not is_good:
        raise typer.Exit(1)


def _replay_one(daemon: "Daemon", receipt_id: str, version: str | None, *, as_json: bool) -> bool:
    found = _replay(daemon, receipt_id, version)
    if as_json:
        show_json(found)
    else:
        _tell_one(found)
    return found["identical"] or version is not None


def _replay_all(daemon: "Daemon", filters: Mapping[str, str], version: str | None, *, as_json: bool) -> bool:
    outcome = _outcome(daemon, filters, version)
    if as_json:
        show_json(outcome)
    else:
        _tell_all(outcome, version)
    return not outcome["failed"] and (version is not None or not outcome["changed"])


def _replay(daemon: "Daemon", receipt_id: str, version: str | None) -> Json:
    from urllib.parse import quote

    body = {} if version is None else {"version": version}
    return daemon.post(f"/v1/receipts/{quote(receipt_id, safe='')}/replay", body, holding="identical")


def _outcome(daemon: "Daemon", filters: Mapping[str, str], version: str | None) -> Json:
    from wardwright.cli.client import CommandFailed, NoAnswer
    from wardwright.cli.receipt_source import DaemonReceipts

    listed = DaemonReceipts(daemon).list(filters, _ALL)["data"]
    changes: list[Json] = []
    failed: list[Json] = []
    with _progress(len(listed)) as advance:
        for summary in listed:
            try:
                found = _replay(daemon, summary["receipt_id"], version)
            except NoAnswer:
                raise
            except CommandFailed as error:
                failed.append({"receipt_id": summary["receipt_id"], "message": error.message})
            else:
                if not found["identical"]:
                    changes.append({"created_at": summary["created_at"], **found})
            advance()
    if failed and len(failed) == len(listed):
        raise CommandFailed(f"none of {len(listed)} receipts can be replayed: {failed[0]['message']}")
    elsewhere = [change for change in changes if _target(change["recorded"]) != _target(change["recomputed"])]
    return {
        "replayed": len(listed) - len(failed),
        "changed": len(changes),
        "changed_target": len(elsewhere),
        "failed": failed,
        "changes": changes,
    }


def _tell_one(found: Json) -> None:
    versions = ", ".join(f"{model} {version}" for model, version in found["versions"].items())
    if found["identical"]:
        say(f"{found['receipt_id']}: the same decision, {_target(found['recorded'])}, under {versions}")
        return
    say(f"{found['receipt_id']}: another decision under {versions}")
    made = table("FIELD", "RECORDED", "RECOMPUTED")
    for difference in found["differences"]:
        cells = (_brief(difference[side]) for side in ("recorded", "recomputed"))
        made.add_row(*map(styled, (difference["field"], *cells)))
    show(made)


def _tell_all(outcome: Mapping[str, Any], version: str | None) -> None:
    from wardwright.cli.receipt_story import clock

    under = "" if version is None else f" under version {version}"
    say(f"{counted(outcome['replayed'], 'decision')} replayed{under}: {_what_changed(outcome)}")
    if outcome["changes"]:
        made = table("RECEIPT", "TIME", "RECORDED", "RECOMPUTED", "DIFFERS IN", whole=2)
        for change in outcome["changes"]:
            fields = ", ".join(difference["field"] for difference in change["differences"])
            targets = (_target(change[side]) for side in ("recorded", "recomputed"))
            made.add_row(*map(styled, (change["receipt_id"], clock(change["created_at"]), *targets, fields)))
        show(made)
    for failure in outcome["failed"]:
        tell(f"{failure['receipt_id']}: {failure['message']}")


def _what_changed(outcome: Mapping[str, Any]) -> str:
    if not outcome["changed"]:
        return "nothing changes"
    changes = "changes" if outcome["changed"] == 1 else "change"
    return f"{outcome['changed']} {changes}, {outcome['changed_target'] or 'none'} of them to another target"


def _target(decision: Mapping[str, Any]) -> str:
    return str(decision.get("selected_model") or "refused")


def _brief(value: object) -> str:
    import msgspec

    return "-" if value is None else value if isinstance(value, str) else msgspec.json.encode(value).decode()


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar for the person in front of the terminal, where there is one."""
    if not console(stderr=True).is_terminal:
        yield lambda: None
        return
    from rich.progress import Progress

    with Progress(console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("replaying", total=total)
        yield lambda: progress.advance(task)

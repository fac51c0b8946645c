"""`wardwright receipts erase`: forget who a person was and what they said, and keep why it was decided so."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wardwright.cli.filters import exact_moment
from wardwright.cli.options import ConfigOption, JsonOption, UrlOption
from wardwright.cli.terminal import counted, say, show_json, tell

if TYPE_CHECKING:
    from wardwright.cli.client import Daemon
    from wardwright.ports.storage import ReceiptStore
    from wardwright.runtime.erasure import Erased

    Step = Callable[[str | None, bool], Erased]
    """Takes the cursor and whether it is only to count."""

_PATH = "/admin/receipts/erase"
_PATIENCE_S = 330.0  # more than the daemon has with its storage


def erase(
    *,
    user: Annotated[str, typer.Option("--user", metavar="ID", help="Whose receipts: the caller's user id.")],
    tenant: Annotated[str | None, typer.Option("--tenant", metavar="ID", help="Only those of this tenant.")] = None,
    before: Annotated[
        float | None,
        typer.Option(
            "--before",
            metavar="WHEN",
            parser=exact_moment,
            help="Only those from before then: 2026-11-01, 2026-11-01T12:00:00Z, or 90d ago.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Erase without asking.")] = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a person's identifiers and content from receipts, for good. Why each was decided stays, and chains still verify.

    A running daemon does it; without one, it is done in the data folder.
    """
    with _steps(config, url, user, tenant, before) as step:
        would = _all(step, dry_run=True)
        if would.receipts and not yes:
            typer.confirm(f"Erase {_told(would)} of {user}? They cannot be brought back.", abort=True, err=True)
        done = _all(step, dry_run=False)  # where none is left, too: what an earlier try could not overwrite is then
    if as_json:
        show_json(done)
    else:
        say(f"{_told(done)} of {user} erased" if done.receipts else f"there is nothing of {user} to erase")
    if done.open:
        tell(f"still open: {counted(done.open, 'receipt')}; erase again when that has changed")
    if url is None:
        _tell_of_other_storage(config)


def _tell_of_other_storage(config: Path | None) -> None:
    """Say where there is storage of another kind, as a migration leaves it: nobody looks into it any more, and the person may be in it."""
    from wardwright.app.storage import storages_in
    from wardwright.cli.client import settings_of

    storage = settings_of(config, None).storage
    for other in storages_in(Path(storage.path)):
        if other.kind != storage.kind and not other.is_new():
            tell(
                f"{other.where} has receipts too, which no daemon of this configuration reads; nothing in it was erased"
            )


@contextlib.contextmanager
def _steps(
    config: Path | None, url: str | None, user: str, tenant: str | None, before: float | None
) -> "Iterator[Step]":
    """How to take steps: a daemon's, or when none answers and none was named by URL, in the data folder."""
    from wardwright.app.storage import storage_of
    from wardwright.cli.client import NoAnswer, connect, daemon_address, settings_of
    from wardwright.ports.storage import Capability

    settings = settings_of(config, url)
    storage = storage_of(settings)
    address = daemon_address(url, settings)
    with connect(address) as daemon:
        try:
            found = daemon.get("/admin/storage", holding="kind")
        except NoAnswer:
            if address.is_named or Capability.DURABLE not in storage.capabilities:
                raise
        else:
            # Whoever means another data folder, such as a backup's, must not take the answer for that one's.
            tell(f"the daemon at {address.url} is asked, which erases in {found.get('path') or 'memory'}")
            yield _asking(daemon, user, tenant, before)
            return
    tell(f"no daemon answers at {address.url}; erasing in {storage.where}")
    if storage.is_new():
        yield _nothing
        return
    with contextlib.closing(storage.open()) as store:
        yield _doing(store, user, tenant, before)


def _asking(daemon: "Daemon", user: str, tenant: str | None, before: float | None) -> "Step":
    import msgspec

    from wardwright.runtime.erasure import Erased

    stated = {"user_id": user, "tenant_id": tenant, "before": before}
    body = {name: value for name, value in stated.items() if value is not None}

    def step(cursor: str | None, dry_run: bool) -> Erased:
        going_on = {} if cursor is None else {"cursor": cursor}
        asked = {**body, **going_on, "dry_run": dry_run}
        return msgspec.convert(daemon.post(_PATH, asked, holding="receipts", patience_s=_PATIENCE_S), Erased)

    return step


def _doing(store: "ReceiptStore", user: str, tenant: str | None, before: float | None) -> "Step":
    from wardwright.runtime.erasure import erase as erase_some
    from wardwright.runtime.erasure import receipts_of

    return lambda cursor, dry_run: erase_some(store, receipts_of(user, tenant, before, cursor), dry_run=dry_run)


def _nothing(cursor: str | None, dry_run: bool) -> "Erased":
    from wardwright.runtime.erasure import Erased

    return Erased()


def _all(step: "Step", *, dry_run: bool) -> "Erased":
    """Take every step, and sum them up."""
    from wardwright.runtime.erasure import Erased

    receipts = entries = still_open = 0
    cursor: str | None = None
    while True:
        done = step(cursor, dry_run)
        receipts, entries, still_open = receipts + done.receipts, entries + done.entries, still_open + done.open
        cursor = done.next_cursor
        if cursor is None:
            return Erased(receipts, entries, still_open)


def _told(found: "Erased") -> str:
    return counted(found.receipts, "receipt")

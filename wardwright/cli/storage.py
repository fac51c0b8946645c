"""`wardwright storage`: what is kept on disk, as a whole: is it sound, copies of it, its space, and what is left of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wardwright.cli.options import ConfigOption, JsonOption, ProcessesOption
from wardwright.cli.terminal import counted, counting, say, show_json, tell

if TYPE_CHECKING:
    from wardwright.app.storage_copy import Copied
    from wardwright.ports.storage import ReceiptReader, StorageProvider

storage = typer.Typer(help="What is kept on disk: check it, copy it, give back its space.", no_args_is_help=True)

_BOOT = "storage-migrate"
_Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of the copy.")]


@storage.command("verify")
def verify(*, config: ConfigOption = None, processes: ProcessesOption = None, as_json: JsonOption = False) -> None:
    """Check that everything that is kept is what was written. That is the hash chain of every receipt, and the decisions of operators; nothing
    is changed.

    Exits 1 when something is not what was written.
    """
    import contextlib

    from wardwright.cli.verify import audited, tell_findings

    provider = _configured(config)
    found = audited(provider, processes)
    with contextlib.closing(provider.read()) as store:
        snapshot = _judged_snapshot(store)
    decisions = _check_control(provider)
    if as_json:
        show_json({**found, "control_entries": decisions, "snapshot": snapshot})
    else:
        tell_findings(found)
        say(f"{counted(decisions, 'decision')} of operators: nothing contradicts itself")
        if snapshot is not None:
            say(f"the snapshot that a start goes on from: {snapshot}")
    if found["findings"]:
        raise typer.Exit(1)


@storage.command("snapshot")
def snapshot(folder: _Folder, *, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Copy everything that is kept to a new data folder. Beside a running daemon or without one."""
    from wardwright.app.storage import snapshot_in

    source = _configured(config)
    copied = _copied(source, snapshot_in(folder, source.kind), config)
    _tell(copied, f"copied to {folder}", as_json=as_json)


@storage.command("restore")
def restore(folder: _Folder, *, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Copy a snapshot to where the configuration keeps its receipts. It may be of any kind; nothing may be there yet."""
    from wardwright.app.storage import storages_in
    from wardwright.cli.client import CommandFailed

    found = [one for one in storages_in(folder) if not one.is_new()]
    if not found:
        raise CommandFailed(f"there is no snapshot in {folder}")
    if len(found) > 1:
        raise CommandFailed(f"{folder} holds storage of several kinds: {', '.join(one.kind for one in found)}")
    target = _configured(config)
    copied = _copied(found[0], target, config)
    _tell(copied, f"restored to {target.where}", as_json=as_json)


@storage.command("migrate")
def migrate(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="file, sqlite or postgres.")],
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy everything that is kept to storage of another kind. It goes by the same settings; no daemon may be running on them."""
    import contextlib

    from wardwright.app.storage import LASTING, storage_of
    from wardwright.cli.client import CommandFailed, settings_of

    source = _configured(config)
    others = [other for other in LASTING if other != source.kind]
    if kind not in others:
        raise typer.BadParameter(f"{kind!r} is not one of {', '.join(others)}", param_hint="KIND")
    target = storage_of(settings_of(config, None), kind)
    if source.is_new():
        copied = _copied(source, target, config)
    else:
        with contextlib.closing(source.open()) as store:  # what a daemon wrote meanwhile would be left behind
            if daemons := store.enlist(_BOOT):
                raise CommandFailed(f"stop what writes to {source.where} first: {counted(len(daemons), 'daemon')}")
            copied = _copied(source, target, config)
    _tell(copied, f'copied to {target.where}; set kind = "{kind}" in [storage]', as_json=as_json)


@storage.command("compact")
def compact(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Give back space, in storage of kind `file`. What is not written to any more is packed, what was forgotten is taken out, and the index is
    made anew.

    No daemon may be running on it. A daemon packs by itself, and removes what was forgotten file by file.
    """
    from wardwright.app.storage_compaction import compact as compact_storage

    provider = _configured(config)
    with counting("compacting", "the log", 100) as at:
        done = compact_storage(provider, lambda part: at(int(part * 100)))
    if as_json:
        show_json(done)
    else:
        before, after = (size / 1e6 for size in (done.bytes_before, done.bytes_after))
        say(f"{counted(done.segments, 'segment')} packed: {before:.1f} MB before, {after:.1f} MB now")
        if done.forgotten_entries:
            say(f"{counted(done.forgotten_entries, 'entry', 'entries')} of forgotten receipts taken out")


@storage.command("salvage")
def salvage(folder: _Folder, *, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Copy what is whole of a damaged log to a new data folder. List everything that is lost, and change nothing where it is.

    Exits 1 when something is lost. No daemon may be running on it.
    """
    from wardwright.app.storage_salvage import REPORT
    from wardwright.app.storage_salvage import salvage as salvage_storage
    from wardwright.cli.client import settings_of
    from wardwright.cli.salvage import tell_what_is_lost

    sink_ids = [sink.id for sink in settings_of(config, None).sinks]
    with counting("salvaging", "the log", 100) as at:
        done = salvage_storage(_configured(config), folder, lambda part: at(int(part * 100)), sink_ids)
    if as_json:
        show_json(done)
    else:
        receipts, entries = counted(done.receipts, "receipt"), counted(done.entries, "entry", "entries")
        say(f"{receipts}, {entries} and {counted(done.control_entries, 'decision')} copied to {folder}")
        tell_what_is_lost(done, folder / REPORT)
    if not done.is_whole:
        raise typer.Exit(1)


def _configured(config: Path | None) -> "StorageProvider":
    """The storage of the configuration, if it outlives a daemon. Raises: CommandFailed, ConfigError."""
    from wardwright.app.storage import storage_of
    from wardwright.cli.client import CommandFailed, settings_of
    from wardwright.ports.storage import Capability

    provider = storage_of(settings_of(config, None))
    if Capability.DURABLE not in provider.capabilities:
        raise CommandFailed(
            f"storage of kind {provider.kind!r} keeps nothing that could be looked at without its daemon"
        )
    return provider


def _judged_snapshot(store: "ReceiptReader") -> str | None:
    """Whether a start can go on from the snapshot, in words; None without one. Nothing is lost with one that is of no use."""
    from wardwright.runtime.book_keeper import checked_snapshot
    from wardwright.runtime.snapshot import Unusable

    try:
        return None if checked_snapshot(store) is None else "sound"
    except Unusable as unusable:
        return f"of no use and not needed, {unusable}"


def _check_control(provider: "StorageProvider") -> int:
    """Follow the decisions of operators; tell how many there are."""
    from wardwright.cli.client import CommandFailed
    from wardwright.domain.control_state import Contradiction, fold_control

    entries = provider.read_control()
    try:
        fold_control(entries)
    except Contradiction as error:
        raise CommandFailed(f"the control log contradicts itself: {error}") from error
    return len(entries)


def _copied(source: "StorageProvider", target: "StorageProvider", config: Path | None) -> "Copied":
    """Copy with the places of the sinks that the configuration has."""
    import contextlib

    from wardwright.app.storage_copy import copy_storage
    from wardwright.cli.client import settings_of

    sink_ids = [sink.id for sink in settings_of(config, None).sinks]
    total = 0
    if not source.is_new():
        with contextlib.closing(source.read()) as reader:
            total = reader.health().receipt_count
    with counting("copying", "receipts", total) as on_receipts:
        return copy_storage(source, target, on_receipts, sink_ids)


def _tell(copied: "Copied", done: str, *, as_json: bool) -> None:
    if as_json:
        show_json(copied)
    else:
        receipts, entries = counted(copied.receipts, "receipt"), counted(copied.entries, "entry", "entries")
        say(f"{receipts}, {entries} and {counted(copied.control_entries, 'decision')} {done}")
    if copied.sinks and not as_json:
        say("1 sink goes on where it is" if copied.sinks == 1 else f"{copied.sinks} sinks go on where they are")
    for finding in copied.findings:
        tell(f"{finding.receipt_id} is not what was written, here and there: {finding.broken.message}")
    if copied.left_out:
        tell(f"{counted(copied.left_out, 'entry', 'entries')} left out, for what came before is missing")

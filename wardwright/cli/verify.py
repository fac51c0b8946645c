"""`wardwright receipts verify`: is the record what was written?"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from wardwright.cli.options import ConfigOption, JsonOption, ProcessesOption
from wardwright.cli.terminal import counted, counting, say, show_json, tell

if TYPE_CHECKING:
    from wardwright.ports.storage import ReceiptReader, StorageProvider
    from wardwright.receipts.audit import Finding

_MOST_TOLD = 20


def verify(
    receipt_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Only this receipt.", show_default=False)
    ] = None,
    *,
    config: ConfigOption = None,
    processes: ProcessesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that receipts are what was written, by their hash chains. Of one receipt, or of every one in the data folder, beside a running
    daemon or without one.

    Exits 1 when a chain does not hold, or when the storage is damaged.
    """
    import contextlib

    from wardwright.cli.receipt_source import lasting_storage

    provider = lasting_storage(config)
    if receipt_id is None:
        found = audited(provider, processes)
    else:
        with contextlib.closing(provider.read()) as store:
            found = _one(store, receipt_id)
    if as_json:
        show_json(found)
    else:
        tell_findings(found)
    if found["findings"]:
        raise typer.Exit(1)


def _one(store: "ReceiptReader", receipt_id: str) -> dict[str, Any]:
    from wardwright.domain.errors import NotFound
    from wardwright.receipts.audit import Finding
    from wardwright.receipts.chain import is_faded, is_unprovable, read_link
    from wardwright.receipts.chain import verify as verify_chain

    payloads = store.payloads(receipt_id)
    if not payloads:
        raise NotFound(f"there is no receipt {receipt_id!r}", "receipt_not_found")
    broken = verify_chain(payloads)
    findings = [] if broken is None else [Finding(receipt_id, broken)]
    links = [(payload, link) for payload in payloads if (link := read_link(payload)) is not None]
    return {
        "receipts": 1,
        "entries": len(payloads),
        "unprovable": sum(is_unprovable(payload, link) for payload, link in links),
        "faded": sum(is_faded(link) for _, link in links),
        "findings": findings,
    }


def audited(provider: "StorageProvider", processes: int | None) -> dict[str, Any]:
    """What the check of every receipt comes to."""
    import contextlib

    from wardwright.app.side_by_side import usable_cores
    from wardwright.app.storage_audit import audit_storage

    with contextlib.closing(provider.read()) as store:
        total = store.health().receipt_count
    with counting("verifying", "receipts", total) as at:
        audit = audit_storage(provider, processes or usable_cores(), at)
    findings = list(audit.findings.values())
    return {
        "receipts": audit.receipts,
        "entries": audit.entries,
        "unprovable": audit.unprovable,
        "faded": audit.faded,
        "findings": findings,
    }


def tell_findings(found: dict[str, Any]) -> None:
    """Say which receipts are not what was written, or that all are."""
    findings: list[Finding] = found["findings"]
    for finding in findings[:_MOST_TOLD]:
        say(f"{finding.receipt_id}: {finding.broken.message} ({finding.broken.problem})")
    if len(findings) > _MOST_TOLD:
        tell(f"and {len(findings) - _MOST_TOLD} more; --json shows all")
    receipts, entries = counted(found["receipts"], "receipt"), counted(found["entries"], "entry", "entries")
    if findings:
        tell(f"not what was written: {len(findings)} of {receipts}")
    else:
        say(f"{receipts}, {entries}: every chain holds")
    if found["unprovable"]:
        tell(
            f"erased, and of an earlier version: {counted(found['unprovable'], 'entry', 'entries')}. The links hold, and nothing shows any "
            "more that the rest is what was written"
        )
    if found["faded"]:
        tell(
            f"faded: {counted(found['faded'], 'entry', 'entries')}. The place is known, between entries that are what was written, and "
            "nothing shows any more what was said there"
        )

"""What `wardwright storage salvage` tells of what is lost."""

from pathlib import Path
from typing import TYPE_CHECKING

from wardwright.cli.terminal import counted, say, tell

if TYPE_CHECKING:
    from wardwright.app.storage_salvage import LostBytes, Salvaged

_MOST_TOLD = 20


def tell_what_is_lost(done: "Salvaged", report: Path) -> None:
    """Say what is lost, the first of it, and where all of it is listed."""
    if done.is_whole:
        say("nothing is lost")
    for lost in done.lost_bytes[:_MOST_TOLD]:
        say(_where(lost))
    for receipt in done.lost_receipts[:_MOST_TOLD]:
        readable = counted(receipt.readable, "entry", "entries")
        if receipt.entries is not None:
            readable = f"{receipt.readable} of {counted(receipt.entries, 'entry', 'entries')}"
        say(f"{receipt.receipt_id} is left out: {receipt.reason} ({readable} can be read)")
    for decision in done.lost_decisions[:_MOST_TOLD]:
        say(f"decision {decision.seq} is left out: {decision.type} {decision.of}".rstrip())
    if done.unreadable_entries:
        say(f"{counted(done.unreadable_entries, 'entry', 'entries')} left out that no receipt can be read from")
    if not done.is_all_named:
        tell("receipts may be lost besides that nothing names any more: no index reaches so far")
    if done.lost_decisions:
        tell("models and API keys are as they were before the first of these decisions: look at them before you serve")
    if done.torn_bytes:
        tell(f"{counted(done.torn_bytes, 'byte')} at the end were never written whole, as after every crash")
    if done.sinks:
        tell(f"sinks that wait to be told where to go on: {', '.join(done.sinks)}")
    if not done.is_whole:
        left_out = counted(len(done.lost_receipts), "receipt")
        tell(f"{left_out} left out; everything that is lost is listed in {report}")


def _where(lost: "LostBytes") -> str:
    if lost.end is not None:
        return f"{lost.file}: bytes {lost.begin} to {lost.end} are not what was written"
    return f"{lost.file}: missing from byte {lost.begin} on" if lost.begin else f"{lost.file} is missing"

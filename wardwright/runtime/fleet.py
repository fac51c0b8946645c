"""Bringing the tree's branches in line with what is wanted: what is missing is started, what is not wanted any more is stopped.

Nothing else is touched. Everything here may be done again at any time, and whoever comes too late finds it done.
"""

from collections.abc import Iterable
from typing import NamedTuple

from supervisors import (
    ActorDown,
    AlreadyPresent,
    AlreadyStarted,
    ChildNotFound,
    ChildSpec,
    NamedRef,
    System,
    delete_child,
    start_child,
    terminate_child,
    which_children,
)
from wardwright.runtime.catalog_board import CatalogBoard
from wardwright.runtime.provider import ProviderBoard, Slot
from wardwright.runtime.roster import ProviderRoster
from wardwright.runtime.sink_roster import SinkRoster
from wardwright.runtime.tree import MODELS, PROVIDERS, SINKS, model_spec, provider_path


class Leaving(NamedTuple):
    """Servers that shall end, and the adapters that may still be using them."""

    servers: frozenset[str]
    retired: tuple[Slot, ...]


async def align_models(system: System, board: CatalogBoard) -> None:
    """Have an actor with its sessions for every model on the board, and for no other.

    Raises: SupervisorError when the branch cannot be asked or a child does not start.
    """
    branch = system.named(MODELS)
    present = {child.id for child in await which_children(branch)}
    for model_id in present - board.models.keys():
        await _remove(branch, model_id)
    for model_id in board.models.keys() - present:
        await _start(branch, model_spec(model_id, board))


async def align_providers(system: System, roster: ProviderRoster, board: ProviderBoard) -> Leaving:
    """Have every wanted provider run as it is wanted, and no other; servers that are not wanted any more are left to `see_off`.

    New ones come first and old ones go last, so that no provider is without an adapter in between.

    Raises: SupervisorError when the branch cannot be asked or a child does not start.
    """
    branch = system.named(PROVIDERS)
    before = dict(board.slots())
    present = {child.id for child in await which_children(branch)}
    wanted = roster.specs()
    for child_id, spec in wanted.items():
        if child_id not in present:
            await _start(branch, spec)
    for part in roster.parts.values():
        if part.refit is not None:
            await system.named(provider_path(part.id)).call(part.refit)
    unwanted = present - wanted.keys()
    servers = {child_id for child_id in unwanted if child_id.endswith(".server") and child_id not in before}
    for child_id in unwanted - servers:
        await _remove(branch, child_id)
    after = board.slots()
    retired = tuple(slot for provider_id, slot in before.items() if after.get(provider_id) is not slot)
    return Leaving(frozenset(servers), retired)


async def align_sinks(system: System, roster: SinkRoster) -> None:
    """Have every wanted sink run as it is wanted, and no other; one that changes stops before it starts anew, at the same place.

    Raises: SupervisorError when the branch cannot be asked or a child does not start.
    """
    branch = system.named(SINKS)
    present = {child.id for child in await which_children(branch)}
    wanted = roster.parts
    for sink_id in [each for each in present if wanted.get(each) is not roster.running.get(each)]:
        await _remove(branch, sink_id)
        present.remove(sink_id)
    for sink_id in wanted.keys() - present:
        await _start(branch, roster.spec(sink_id))


async def see_off(system: System, servers: Iterable[str], retired: Iterable[Slot]) -> None:
    """Stop servers when the last attempt that may be using them has ended."""
    for slot in retired:
        await slot.closed.wait()
    try:
        for child_id in servers:
            await _remove(system.named(PROVIDERS), child_id)
    except ActorDown:
        return  # the branch restarts, with what is wanted and nothing else


async def _start(branch: NamedRef, spec: ChildSpec) -> None:
    """Start a child; one that runs by now is no error."""
    try:
        await start_child(branch, spec)
    except (AlreadyStarted, AlreadyPresent):
        return


async def _remove(branch: NamedRef, child_id: str) -> None:
    """Stop a child and forget it; one that is gone by now is no error."""
    try:
        await terminate_child(branch, child_id)
        await delete_child(branch, child_id)
    except ChildNotFound:
        return

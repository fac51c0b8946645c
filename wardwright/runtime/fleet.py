"""Bringing the tree's branches in line with what is wanted: what is missing is started, what is not wanted any more is stopped.

Nothing else is touched. Everything here may be done again at any time, and whoever comes too late finds it done.
"""

from supervisors import (
    AlreadyPresent,
    AlreadyStarted,
    ChildNotFound,
    NamedRef,
    System,
    delete_child,
    start_child,
    terminate_child,
    which_children,
)
from wardwright.runtime.catalog_board import CatalogBoard
from wardwright.runtime.tree import MODELS, model_spec


async def align_models(system: System, board: CatalogBoard) -> None:
    """Have an actor with its sessions for every model on the board, and for no other.

    Raises: SupervisorError when the branch cannot be asked or a child does not start.
    """
    branch = system.named(MODELS)
    present = {child.id for child in await which_children(branch)}
    for model_id in present - board.models.keys():
        await _remove(branch, model_id)
    for model_id in board.models.keys() - present:
        try:
            await start_child(branch, model_spec(model_id, board))
        except (AlreadyStarted, AlreadyPresent):
            continue


async def _remove(branch: NamedRef, child_id: str) -> None:
    """Stop a child and forget it; one that is gone by now is no error."""
    try:
        await terminate_child(branch, child_id)
        await delete_child(branch, child_id)
    except ChildNotFound:
        return

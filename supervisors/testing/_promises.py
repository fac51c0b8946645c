"""What a System promises about its tree at any moment, and how a test holds it to that.

Always:
- A name belongs to somebody alive, and whoever is alive has its name. So does a lock that a member holds.
- Every member stands on its parent's list, and the parent is alive.

When nothing can run any more (after `settle`):
- Nobody waits for an answer from the dead.
- Every task of the tree belongs to a member which is alive and not passive, or which was killed and given up.
- A supervisor which has nothing to do has no dead child on record.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import anyio

from supervisors._cell import Cell
from supervisors._children import SupervisorBase
from supervisors._host import HostCell
from supervisors._member import Member
from supervisors._runner import ActorCell
from supervisors._system import System


class BrokenPromise(AssertionError):
    """The tree is not as it should be; `problems` has one line for each thing that is wrong."""

    def __init__(self, problems: Sequence[str], occasion: str = "") -> None:
        heading = f"{occasion}:\n" if occasion else ""
        super().__init__(heading + "\n".join(problems))
        self.problems = tuple(problems)


def check_tree(system: System) -> None:
    """Compare names, members, waits and tasks of a running System, at a moment when nothing can run.

    Call `settle` first; without it only the names and the members would have to agree.

    Raises:
        BrokenPromise: they disagree.
    """
    problems = [*unkept_always(system), *unkept_at_rest(system)]
    if problems:
        raise BrokenPromise(problems)


def check_nothing_left(system: System, tasks: int) -> None:
    """See that a System which has been left is gone altogether.

    Args:
        system: the System.
        tasks: how many tasks there were before it was entered; see `count_tasks`.

    Raises:
        BrokenPromise: something is left.
    """
    problems = [f"{name} is still a name" for name in system.hub.names._holders]
    problems += [f"{path} still runs" for path in system.unstopped]
    left = count_tasks()
    if left != tasks:
        problems.append(f"there were {tasks} tasks and there are {left}")
    if problems:
        raise BrokenPromise(problems, f"{system.name} was left")


def count_tasks() -> int:
    """Count the tasks of the running event loop."""
    return len(anyio.get_running_tasks())


def members(system: System) -> Iterator[Member]:
    """Walk the members, parents before children, in the order in which they were started."""
    yield from _from_here_down(system._root_cell())


def unkept_always(system: System) -> list[str]:
    """List what may not be at any moment at all."""
    names, root = system.hub.names._holders, system._root_cell()
    problems = []
    for name, cell in names.items():
        if cell.exit_reason is not None:
            problems.append(f"the name {name} belongs to the dead")
        elif cell is not root and (cell.parent is None or cell not in cell.parent.children):
            problems.append(f"{cell.path} is on nobody's list")
        elif cell.parent is not None and cell.parent.exit_reason is not None:
            problems.append(f"{cell.path} has outlived its parent")
    problems += [f"the lock {key!r} is held or wanted by the dead" for key in system._locks.wanted_by_the_dead()]
    for cell in members(system):
        if names.get(cell.path) is not cell and cell.exit_reason is None:
            problems.append(f"{cell.path} is alive and has lost its name")
    return problems


def unkept_at_rest(system: System) -> list[str]:
    """List what may not be when nothing can run any more."""
    problems = _stray_tasks(system)
    for cell in members(system):
        problems += [
            f"{cell.path} waits for the dead {to.path}" for to in cell.waiting_on if to.exit_reason is not None
        ]
        if isinstance(cell, ActorCell) and isinstance(cell.actor, SupervisorBase) and _is_idle(cell):
            problems += [f"{path} is dead, and on its supervisor's record" for path in _dead_on_record(cell.actor)]
    return problems


def _from_here_down(cell: Member) -> Iterator[Member]:
    yield cell
    for child in cell.children:
        yield from _from_here_down(child)


def _is_idle(cell: ActorCell) -> bool:
    return cell.status == "running" and not cell.mailbox_depth and cell._current is None


def _dead_on_record(supervisor: SupervisorBase) -> list[str]:
    children = supervisor._children.values()
    return [child.path for child in children if child.cell is not None and child.cell.exit_reason is not None]


def _stray_tasks(system: System) -> list[str]:
    """Name the tasks below the System to which no member belongs."""
    root = system._root_cell().path
    known: Counter[str] = Counter()
    for cell in (*members(system), *system.hub.unstopped):
        known[cell.path] += isinstance(cell, Cell)
        if isinstance(cell, HostCell):
            known.update(helper._task.name for helper in cell._helpers or () if helper._task is not None)
    names = [task.name or "" for task in anyio.get_running_tasks()]
    tasks = Counter(name for name in names if name == root or name.startswith(f"{root}/"))
    return [f"there is a task {name} which no member owns" for name in (tasks - known).elements()]

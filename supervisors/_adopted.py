"""The cell of a task which somebody else runs: the body of an `async with adopt(...)`.

It is a full member of the tree (named, watched, counted, killable) without a task or a mailbox of its own, because it
is made and struck off once per request and must cost next to nothing. What it cannot do is take messages: nobody reads
them.
"""

from collections.abc import Callable, Mapping
from typing import Any

from supervisors._cell import Cell
from supervisors._child_spec import child_path
from supervisors._failure import where
from supervisors._reasons import ExitReason
from supervisors._terms import shorten_view
from supervisors.events import CrashReport
from supervisors.inspect import describe_stack


class AdoptedCell(Cell):
    """A borrowed task; `host` is the event loop's own object for it."""

    __slots__ = ("_status", "host", "scope", "shutdown")

    def __init__(
        self, parent: Cell, child_id: str, status: Callable[[], Mapping[str, object]] | None, shutdown: float
    ) -> None:
        super().__init__(parent.hub, child_path(parent.path, child_id), child_id, parent)
        self.status = "running"
        self.host = self.hub.backend.current_task()
        self.scope = self.hub.backend.new_scope()
        self.shutdown = shutdown
        self._status = status

    @property
    def kind(self) -> str:
        """It has no class to be named after."""
        return "adopted"

    def details(self) -> Mapping[str, object]:
        """The view which the body gave along."""
        if self._status is None:
            return {}
        try:
            return dict(self._status())
        except Exception as error:  # noqa: BLE001 a view must not be able to hurt whoever looks
            return {"status": f"raised {type(error).__name__}"}

    @property
    def coroutine(self) -> Any:
        """The code of the whole task; None when the body has ended."""
        if self.host is None:
            return None
        return self.host.coro if hasattr(self.host, "coro") else self.host.get_coro()

    def _stack(self) -> tuple[str, ...]:
        return describe_stack(self.coroutine)

    def _cancel(self) -> None:
        self.scope.cancel()

    def _last_words(self, reason: ExitReason) -> None:
        self.host = None
        if reason.kind == "crashed":
            self.hub.emit(
                CrashReport(
                    path=self.path,
                    kind=self.kind,
                    reason=reason,
                    ancestors=self.ancestors(),
                    mailbox_depth=0,
                    last_message=None,
                    status=shorten_view(self.details()),
                    client=None,
                    stack=where(reason),
                    links=self.links,
                )
            )

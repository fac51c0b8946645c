"""The seam between a run and the surface that asked for it: what a run tells, and what it knows of the answer's head.

Each surface (chat completions today) implements `Responder` in its own wire's terms; the run knows none of them.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from wardwright.domain.chat import Completion
from wardwright.domain.route import ModelDefinition, Target
from wardwright.domain.stream import Frame


class AnswerHead:
    """What an answer's headers can say, as far as it is known when they leave."""

    __slots__ = ("attempts", "definition", "receipt_id", "request_id", "selected_target")

    def __init__(self, *, request_id: str, receipt_id: str, definition: ModelDefinition) -> None:
        self.request_id = request_id
        self.receipt_id = receipt_id
        self.definition = definition
        self.attempts = 0
        self.selected_target: Target | None = None


class Responder(Protocol):
    """The edge's side of one answer. The coroutines are cancel points and return under the client's backpressure."""

    def begin(self, head: AnswerHead) -> None:
        """The request is accepted: `head` identifies it from now on, errors included. Never blocks."""
        ...

    async def release(self, frames: Sequence[Frame]) -> None:
        """Send frames of a stream; the first call lets the 200 and the headers leave."""
        ...

    async def finish(self, frames: Sequence[Frame]) -> None:
        """Send the last frames of a stream and end it as complete."""
        ...

    async def answer(self, completion: Completion) -> None:
        """Send a whole answer."""
        ...

    def watch_client(self, on_gone: Callable[[], None]) -> None:
        """Have `on_gone` called, once, when the client leaves before `unwatch_client`. Never blocks."""
        ...

    def unwatch_client(self) -> None:
        """Stop watching. Idempotent."""
        ...

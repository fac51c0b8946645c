"""The client's side of a run, in a test's hands."""

from collections.abc import Awaitable, Callable, Sequence

from anyio.lowlevel import checkpoint

from wardwright.domain.chat import Completion
from wardwright.domain.stream import Frame, StreamEvent, Text
from wardwright.runtime.responder import AnswerHead

Watch = Callable[[str], Awaitable[None]]


class RecordingResponder:
    """A `Responder` that keeps what it is given, and takes its time over it like a socket does.

    `on_send` runs before anything is kept; it may look around, wait or raise.
    """

    def __init__(self, on_send: Watch | None = None) -> None:
        self.head: AnswerHead | None = None
        self.frames: list[Frame] = []
        self.batches: list[Sequence[Frame]] = []
        self.completion: Completion | None = None
        self.is_finishing = False
        self.is_finished = False
        self.is_gone = False
        self._on_send = on_send
        self._on_gone: Callable[[], None] | None = None

    def begin(self, head: AnswerHead) -> None:
        assert self.head is None, "a request is accepted once"
        self.head = head

    async def release(self, frames: Sequence[Frame]) -> None:
        await self._send("release", frames)

    async def finish(self, frames: Sequence[Frame]) -> None:
        await self._send("finish", frames)
        self.is_finished = True

    async def answer(self, completion: Completion) -> None:
        await self._send("answer", ())
        self.completion = completion
        self.is_finished = True

    def watch_client(self, on_gone: Callable[[], None]) -> None:
        assert self._on_gone is None, "a client is watched once"
        self._on_gone = on_gone
        if self.is_gone:
            on_gone()

    def unwatch_client(self) -> None:
        self._on_gone = None

    def leave(self) -> None:
        """Be gone."""
        self.is_gone = True
        if self._on_gone is not None:
            self._on_gone()

    @property
    def is_watched(self) -> bool:
        return self._on_gone is not None

    @property
    def receipt_id(self) -> str:
        assert self.head is not None, "the request was not accepted"
        return self.head.receipt_id

    @property
    def events(self) -> list[StreamEvent]:
        return [event for frame in self.frames for event in frame.events]

    @property
    def text(self) -> str:
        """What the client can read so far."""
        return "".join(event.text for event in self.events if isinstance(event, Text))

    async def _send(self, what: str, frames: Sequence[Frame]) -> None:
        assert self.head is not None, "an answer before its head"
        assert not self.is_finishing, "nothing follows the end of an answer"
        self.is_finishing = what != "release"
        await checkpoint()
        if self._on_send is not None:
            await self._on_send(what)
        self.batches.append(frames)
        self.frames.extend(frames)
        await checkpoint()

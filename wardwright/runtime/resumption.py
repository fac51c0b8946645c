"""Going on with the answer of a run whose stream has broken behind its release: what the next target is asked, and what of it may leave."""

from collections.abc import Sequence

import msgspec

from wardwright.domain.chat import ChatRequest, Usage
from wardwright.domain.route import RequestFacts, Target
from wardwright.domain.stream import Frame
from wardwright.planner.estimate import facts_going_on, text_tokens
from wardwright.policy.resumption import Continuation, Transcript, given_text, way_to_resume
from wardwright.receipts.events import Resumed
from wardwright.runtime.answer_policy import Standing
from wardwright.wire import openai_rejoin
from wardwright.wire.openai_request import choice_count, with_beginning

_CAPABILITY = "prefill"


class Asking(msgspec.Struct, frozen=True):
    """What one upstream call asks for. With a `continuation` its answer goes on with an earlier one; `note` tells the receipt so.

    With `may_be_continued` another answer may have to go on from this one, so that no tool call may leave before it is whole.
    """

    request: ChatRequest
    facts: RequestFacts
    may_be_continued: bool = False
    continuation: Continuation | None = None
    note: Resumed | None = None


class Rescue:
    """The answer of one run, as far as the client has got it."""

    def __init__(self) -> None:
        self._transcript = Transcript(openai_rejoin)
        self._is_listening = False
        self._broke: tuple[int, Target] | None = None

    @property
    def is_possible(self) -> bool:
        """Whether another answer can go on from what was released."""
        return self._broke is not None and self._transcript.can_be_continued

    def asking(self, standing: Standing, target: Target, *, number: int, spent: Usage | None) -> Asking:
        """State what the call `number` asks of a target; `spent` is what the attempts have used that the client has heard of."""
        broke, request = self._broke, standing.request
        if broke is None:
            is_wanted = request.stream and target.id in standing.plan.resumable and choice_count(request) == 1
            self._is_listening = is_wanted
            return Asking(request, standing.facts, may_be_continued=is_wanted)
        transcript = self._transcript
        by = way_to_resume(transcript, has_prefill=_CAPABILITY in (target.capabilities or ()))
        continuation = Continuation(transcript, by, spent, openai_rejoin)
        from_attempt, from_target = broke
        note = Resumed(
            attempt=number,
            from_attempt=from_attempt,
            from_model=from_target.id,
            to_model=target.id,
            by=by,
            text_bytes=transcript.size("text"),
            reasoning_bytes=transcript.size("reasoning"),
        )
        if by == "repeat":
            return Asking(request, standing.facts, True, continuation, note)
        text = given_text(transcript)
        begun = with_beginning(request, text, text_tokens(text))
        return Asking(begun, self.facts(standing), True, continuation, note)

    def note(self, frames: Sequence[Frame]) -> None:
        """Take note of frames that are sent to the client."""
        if self._is_listening:
            self._transcript.note(frames)

    def broke_off(self, number: int, target: Target) -> None:
        """The call `number` has failed, and a part of its answer has left."""
        self._broke = (number, target)

    def facts(self, standing: Standing) -> RequestFacts:
        """The facts of the request together with the part of its answer that has left."""
        return facts_going_on(standing.facts, text_tokens(self._transcript.text()))

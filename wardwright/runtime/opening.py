"""The opening entry of a receipt: who asked what, under which versions, and what was decided."""

from wardwright.domain.caller import Caller
from wardwright.domain.chat import ChatRequest
from wardwright.domain.structured import OutputSummary
from wardwright.policy.tool_context import tool_context
from wardwright.receipts.events import Opened, RequestSummary
from wardwright.runtime.catalog_board import Route
from wardwright.runtime.decision import Decided
from wardwright.wire.trace import trace_id_of


class Opening:
    """Words opening entries for one boot of the daemon."""

    def __init__(self, boot: str) -> None:
        self._boot = boot

    def of(
        self,
        request: ChatRequest,
        *,
        route: Route,
        decided: Decided,
        caller: Caller,
        request_id: str,
        key_id: str | None = None,
        traceparent: str | None = None,
        output: OutputSummary | None = None,
    ) -> Opened:
        """The opening of one request; `output` is the form that its answers are held to. Purity: pure."""
        definition, facts = route.composition.root, decided.inputs
        return Opened(
            boot=self._boot,
            model_id=definition.id,
            model_version=definition.version,
            caller=caller,
            key_id=key_id,
            request=RequestSummary(
                model=request.model,
                normalized_model=definition.id,
                message_count=len(request.messages),
                stream=request.stream,
                estimated_prompt_tokens=facts.request.estimated_prompt_tokens,
                request_id=request_id,
                trace_id=None if traceparent is None else trace_id_of(traceparent),
                structured_output=output,
                tool_context=tool_context(request),
            ),
            decision=decided.recorded,
            session_turn=None if facts.session is None else facts.session.turn,
            canaries=route.canaries,
        )

"""A receipt told to people: who asked, what was decided and why, what was tried, how it ended."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wardwright.cli.content_story import content_lines
from wardwright.cli.terminal import counted, styled
from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.route import Skip
from wardwright.domain.structured import OutputSummary
from wardwright.domain.tools import ToolContext
from wardwright.receipts.events import ANSWERED, CanarySide, Decision
from wardwright.receipts.receipt import Attempt, Final, Receipt
from wardwright.receipts.stream_outcome import StreamOutcome, StreamPolicyEvent
from wardwright.receipts.structured_outcome import StructuredOutcome

_GOOD = (*ANSWERED, "simulated")
_UNDECIDED = ("open", "unfinished", "client_cancelled", "cancelled", "interrupted")

_LABEL_WIDTH = 14
_HEALTH = {
    "breaker_open": "it keeps failing",
    "rate_limited": "it is limiting requests",
    "saturated": "its provider is working to capacity",
}
_CALLER_FIELDS = (
    ("tenant", "tenant_id"),
    ("application", "application_id"),
    ("agent", "consuming_agent_id"),
    ("user", "consuming_user_id"),
    ("session", "session_id"),
    ("run", "run_id"),
    ("client request", "client_request_id"),
    ("anonymous", "anonymous_id"),
)


class Line(NamedTuple):
    """A line of a section: what it is about, and what there is to say of it."""

    label: str
    text: str
    style: str = ""


def story(receipt: Receipt) -> RenderableType:
    """Everything a receipt says, section by section."""
    status = receipt.final.status if receipt.final else "open"
    title = Text.assemble(styled(f"{receipt.receipt_id} "), styled(status, status_style(status)))
    return Group(
        title,
        *_section("asked", _asked(receipt)),
        *_section("decision", [*map(_canary, receipt.canaries), *_decided(receipt.decision)]),
        *_section("attempts", _tried(receipt)),
        *_stream_policy(receipt),
        *_structured_output(receipt),
        *_section("outcome", _ended(receipt)),
        *(() if receipt.content is None else _section("content", map(Line._make, content_lines(receipt.content)))),
    )


def moment(seconds: float) -> str:
    """A point in time, on the clock of the one who reads, with the zone of that clock."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def clock(seconds: float) -> str:
    """A point in time as a list shows it, where every line has the same zone."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration(milliseconds: float) -> str:
    """A length of time, in the unit that reads best."""
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def status_style(status: str) -> str:
    """The colour of a final status or of an attempt's."""
    if status in _GOOD:
        return "green"
    return "yellow" if status in _UNDECIDED else "red"


def _section(title: str, lines: Iterable[Line]) -> Iterator[RenderableType]:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, min_width=_LABEL_WIDTH)
    grid.add_column(overflow="fold")
    for line in lines:
        grid.add_row(styled(f"  {line.label}"), styled(line.text, line.style))
    yield styled(title, "bold")
    yield grid


def _asked(receipt: Receipt) -> Iterator[Line]:
    request = receipt.request
    streamed = "streamed" if request.stream else "in one piece"
    yield Line("when", moment(receipt.created_at))
    yield Line("model", f"{request.model}, version {receipt.model_version}")
    yield Line(
        "request",
        f"{counted(request.message_count, 'message')}, about {request.estimated_prompt_tokens} tokens, to be answered {streamed}",
    )
    if request.structured_output is not None:
        yield Line("form", _form(request.structured_output))
    if request.tool_context is not None:
        yield from _tools(request.tool_context)
    if request.request_id is not None:
        yield Line("request id", request.request_id)
    if request.trace_id is not None:
        yield Line("trace", request.trace_id)
    yield from _who(receipt.caller, receipt.session_turn)
    if receipt.key_id is not None:
        yield Line("API key", receipt.key_id)
    if receipt.simulation:
        yield Line("simulation", "no provider was to be called")


def _form(held_to: OutputSummary) -> str:
    """The form that the answers to a request are held to."""
    parts = []
    if held_to.schemas:
        parts.append(f"JSON that one of these accepts: {', '.join(held_to.schemas)}")
    if held_to.response_format is not None:
        parts.append(f"the request's own {held_to.response_format}")
    if held_to.tools:
        parts.append(f"arguments of {counted(held_to.tools, 'tool')} that match their schemas")
    return "; ".join(parts)


def _tools(context: ToolContext) -> Iterator[Line]:
    """What the request has to do with tools."""
    if context.available_count:
        named = ", ".join(context.available_tools)
        more = context.available_count - len(context.available_tools)
        yield Line("tools offered", f"{named} and {more} more" if named and more else named or str(more))
    about = "no one tool" if context.primary_tool is None else context.primary_tool.name
    source = "" if context.primary_tool is None else f" ({context.primary_tool.source.replace('_', ' ')})"
    call = "" if context.tool_call_id is None else f", call {context.tool_call_id}"
    yield Line("tool", f"{context.phase.replace('_', ' ')}: {about}{source}{call}")


def _who(caller: Caller, turn: int | None) -> Iterator[Line]:
    for label, field in _CALLER_FIELDS:
        fact: Attributed | None = getattr(caller, field)
        if fact is not None:
            counted = f", turn {turn}" if field == "session_id" and turn is not None else ""
            yield Line(label, f"{fact.value}{counted} ({fact.source.replace('_', ' ')})")
    if caller.tags:
        yield Line("tags", ", ".join(caller.tags))
    if caller.erased is not None:
        yield Line("caller", "erased", "yellow")


def _canary(side: CanarySide) -> Line:
    """Which side of a canary the request was on."""
    went = "taken" if side.taken else "not taken"
    by = "its session" if side.by == "session" else "a draw"
    return Line("canary", f"{side.version} of {side.model_id} at {side.percent:g} %: {went}, by {by}")


def _decided(decision: Decision) -> Iterator[Line]:
    yield Line("route", f"{' > '.join(decision.graph_path) or decision.route_id}: {decision.reason}")
    facts = decision.facts.request
    budget = f", {facts.output_budget} of them for the answer" if facts.output_budget else ""
    needs = f"; also {', '.join(facts.needs)}" if facts.needs else ""
    yield Line("needs", f"a window of {facts.required_window} tokens{budget}{needs}")
    for tokenizer, tokens in facts.exact_prompt_tokens.items():
        yield Line("counted", f"{tokens} tokens in the prompt by {tokenizer}")
    for action in decision.policy_actions:
        yield Line(
            "policy", f"{action.rule_id} of {action.model_id}: {action.action.replace('_', ' ')}; {action.message}"
        )
    yield from _kept(decision)
    for place, target in enumerate(decision.selected_models):
        label = "chosen" if place == 0 else "fallback"
        yield Line(label, f"{target.model} at {target.provider}, window {target.context_window}")
    for skip in decision.skipped:
        yield Line("skipped", f"{skip.target}: {_why(skip, facts.required_window)}")
    if decision.route_blocked:
        yield Line("blocked", "no target could serve this request", "red")


def _kept(decision: Decision) -> Iterator[Line]:
    """What else had a say in the choice: the session, a forced target, a request that is too large."""
    for choice in decision.sticky:
        why = (
            "it is sticky"
            if choice.private_history is None
            else f"{choice.private_history} keeps its history to itself"
        )
        stays = (
            "the session stays with who serves it now" if choice.kept is None else f"the session stays on {choice.kept}"
        )
        yield Line("session", f"{choice.selector}: {stays}, because {why}")
    if decision.overflow is not None:
        yield Line(
            "overflow", f"no window is large enough; {decision.overflow} takes its largest all the same", "yellow"
        )
    if decision.fallback_used:
        yield Line("fallback", "the target that a rule forces cannot serve, and the rule allows others", "yellow")


def _why(skip: Skip, required: int) -> str:
    match skip.reason:
        case "context_window_too_small":
            of = f", that of {skip.detail}," if skip.detail else ""
            return f"its window of {skip.context_window} tokens{of} is too small for {required}"
        case "capability_missing":
            return f"it lacks {skip.detail or 'a capability that the request needs'}"
        case "guard_denied":
            return f"a guard does not let the request come to it ({skip.detail})"
        case "guard_passed":
            return f"the guard {skip.detail} let the request pass elsewhere"
        case "policy_route_gate":
            return "a rule leaves it out" + (f" ({skip.detail})" if skip.detail else "")
        case "forced_model_unavailable":
            return f"a rule forces it, but {skip.detail or 'there is no way to it'}"
        case "breaker_open" | "rate_limited" | "saturated":
            wait = "" if skip.retry_after_s is None else f", again in {skip.retry_after_s:.0f} s"
            return f"{_HEALTH[skip.reason]}{wait}"


def _tried(receipt: Receipt) -> Iterator[Line]:
    for attempt in receipt.attempts:
        at = f" at {attempt.provider_id}" if attempt.provider_id else ""
        yield Line(str(attempt.attempt), f"{attempt.model}{at}: {_course(attempt)}", status_style(attempt.status))
        if attempt.failure is not None:
            yield Line("", f"{attempt.failure.failure_class}: {attempt.failure.message}")
    for seam in receipt.seams:
        how = "had to repeat it" if seam.by == "repeat" else "was given it"
        behind = f"{counted(seam.text_bytes, 'byte')} of text from attempt {seam.from_attempt}"
        yield Line("resumed", f"attempt {seam.attempt} goes on behind {behind}: {seam.to_model} {how}")
    if receipt.faded_events:
        yield Line("faded", f"{counted(receipt.faded_events, 'event')}: what they said is not kept any more", "yellow")
    elif not receipt.attempts:
        yield Line("none", "no provider was called")
    for passed in receipt.passed_over:
        waited = f" after waiting {duration(passed.waited_ms)}" if passed.waited_ms else ""
        yield Line(
            "passed over",
            f"{passed.model} at {passed.provider_id}: {passed.reason.replace('_', ' ')}{waited}",
            "yellow",
        )


def _course(attempt: Attempt) -> str:
    parts = [attempt.status if attempt.latency_ms is None else f"{attempt.status} after {duration(attempt.latency_ms)}"]
    if (
        attempt.first_token_ms is not None and attempt.first_token_ms != attempt.latency_ms
    ):  # of a whole answer both are the end
        parts.append(f"first token after {duration(attempt.first_token_ms)}")
    if attempt.generated_bytes or attempt.released_bytes:
        parts.append(f"{counted(attempt.generated_bytes, 'byte')} came, {attempt.released_bytes} released")
    if attempt.usage is not None:
        usage = attempt.usage
        parts.append(f"{usage.prompt_tokens} + {usage.completion_tokens} tokens ({usage.source})")
    if attempt.cost_usd is not None:
        parts.append(_dollars(attempt.cost_usd))
    if attempt.finish_reasons:
        parts.append(f"finish {', '.join(attempt.finish_reasons)}")
    if attempt.called_tools:
        parts.append(f"called {', '.join(attempt.called_tools)}")
    return "; ".join(parts)


def _stream_policy(receipt: Receipt) -> Iterator[RenderableType]:
    """What stream rules did, where any read an answer."""
    outcome = receipt.final.stream_policy if receipt.final else None
    if outcome is not None:
        yield from _section("stream policy", _governed(outcome))


def _governed(outcome: StreamOutcome) -> Iterator[Line]:
    matches = counted(outcome.trigger_count, "match", "matches")
    yield Line("found", f"{matches}, {counted(outcome.retry_count, 'answer')} asked for again")
    for event in outcome.events:
        yield Line(f"attempt {event.attempt}", _told(event))
    held = f"at most {counted(outcome.max_held_bytes, 'byte')} at a time, {outcome.held_bytes} at the end"
    changed = f"; {counted(outcome.rewritten_bytes, 'byte')} replaced or dropped" if outcome.rewritten_bytes else ""
    blocked = f"; {outcome.blocked_bytes} blocked" if outcome.blocked_bytes else ""
    yield Line("held", held + changed + blocked)


def _told(event: StreamPolicyEvent) -> str:
    match event.type:
        case "stream_policy.triggered":
            where = f"call {event.call}" if event.call is not None else f"{event.channel}"
            shadow = " (shadow)" if event.shadow else ""
            action = f"{event.action}".replace("_", " ")
            return f"{event.rule_id}: {action}{shadow}; bytes {event.match_start_byte} to {event.match_end_byte} of the {where}"
        case "stream_policy.hold_exceeded":
            if event.observed_hold_bytes is not None:
                return f"{event.observed_hold_bytes} bytes of the stream would have had to be held, which is too much"
            return f"text was held for {duration(event.observed_hold_ms or 0)}, which is too long"
        case "attempt.retry_requested":
            reminded = " with a reminder" if event.reminder_injected else ""
            return f"{event.rule_id}: {event.to_model} is asked again{reminded}, {event.retry_count} of {event.max_retries}"
        case "attempt.retry_refused":
            return f"{event.rule_id}: not asked again, {f'{event.reason}'.replace('_', ' ')}"


def _structured_output(receipt: Receipt) -> Iterator[RenderableType]:
    """What became of the form of the answers, where any was judged."""
    outcome = receipt.final.structured_output if receipt.final else None
    if outcome is not None:
        yield from _section("structured output", _judged(outcome))


def _judged(outcome: StructuredOutcome) -> Iterator[Line]:
    for event in outcome.guard_events:
        where = f"call {event.call}" if event.call is not None else f"choice {event.choice}"
        yield Line(
            f"attempt {event.attempt}",
            f"{event.rule_id}: {event.guard_type} in {where}; {event.action}".replace("_", " "),
        )
    accepted = "" if outcome.selected_schema is None else f", by {outcome.selected_schema}"
    is_good = outcome.final_status in _GOOD
    end = f"accepted{accepted}" if is_good else outcome.final_status.replace("_", " ")
    yield Line("judged", f"{counted(outcome.attempt_count, 'answer')}; {end}")


def _ended(receipt: Receipt) -> Iterator[Line]:
    final = receipt.final
    if final is None:
        yield Line(
            "open", "the request has not ended, or its daemon died; the next start closes it as interrupted", "yellow"
        )
        return
    yield Line("status", _end(final), status_style(final.status))
    if final.selected_model is not None:
        yield Line("answered by", final.selected_model)
    if final.cost_usd is not None:
        yield Line("cost", _dollars(final.cost_usd))
    yield Line("released", counted(final.released_bytes, "byte") if final.released else "nothing")
    if final.error_code is not None:
        yield Line("error", f"{final.error_message or 'no message'} ({final.error_code})")
    yield Line("recorded", final.receipt_recorded_at)


def _dollars(amount: float) -> str:
    """To a billionth, as exact as costs are kept, without zeros that say nothing."""
    return f"{amount:.9f}".rstrip("0").rstrip(".") + " USD"


def _end(final: Final) -> str:
    lasted = "" if final.latency_ms is None else f" after {duration(final.latency_ms)}"
    return f"{final.status}{lasted}, {counted(final.attempts, 'attempt')}"

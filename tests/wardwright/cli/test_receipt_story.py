import io
from typing import Any

import msgspec
import pytest
from rich.console import Console

from wardwright.cli.receipt_story import duration, moment, status_style, story
from wardwright.domain.caller import Caller
from wardwright.domain.policy import PolicyAction, RuleFired
from wardwright.domain.route import Skip, StickyChoice
from wardwright.domain.structured import OnViolation, OutputFinding, OutputSummary
from wardwright.domain.tools import ToolContext, ToolIdentity
from wardwright.receipts.events import (
    AskedAgain,
    AttemptFinished,
    AttemptStarted,
    CanarySide,
    Closed,
    ContentCaptured,
    ContentPart,
    Faded,
    NotAskedAgain,
    Opened,
    PassedOver,
    Resumed,
    StreamFinding,
)
from wardwright.receipts.receipt import Receipt

from .samples import AT, FALLBACK, OPENED, receipt

FEEDBACK: OnViolation = "retry_with_validation_feedback"
SECOND_ATTEMPT = (
    "2 cloud/large at cloud: completed after 1.8 s; first token after 90 ms; 120 bytes came, 118 released; "
    "40 + 30 tokens (reported); finish stop"
)


def told(subject: Receipt) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=500, markup=False, highlight=False, emoji=False).print(story(subject))
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_a_receipt_tells_who_asked_what_was_decided_tried_and_answered() -> None:
    assert told(receipt(*FALLBACK)) == [
        "rcpt_0001 completed",
        "asked",
        f"when {moment(AT)}",
        "model wardwright/coding-balanced, version 2026-11-22.1",
        "request 2 messages, about 40 tokens, to be answered streamed",
        "request id req_1",
        "tenant acme (header)",
        "session s1, turn 3 (body metadata)",
        "tags a, b",
        "decision",
        "route top > fit: the smallest window that fits",
        "needs a window of 140 tokens, 100 of them for the answer; also tools",
        "chosen local/small at local, window 8192",
        "fallback cloud/large at cloud, window 200000",
        "skipped local/tiny: its window of 16 tokens is too small for 140",
        "skipped local/deaf: it lacks tools",
        "attempts",
        "1 local/small at local: failed after 12 ms",
        "connect: connection refused",
        SECOND_ATTEMPT,
        "outcome",
        "status completed after 1.9 s, 2 attempts",
        "answered by cloud/large",
        "released 118 bytes",
        "recorded 2027-01-15T08:00:05.000Z",
    ]


@pytest.mark.parametrize(
    ("context", "lines"),
    [
        (
            ToolContext(
                "result_interpretation",
                "exact",
                ToolIdentity("openai.function", "search", "assistant_tool_call"),
                ("search", "shell"),
                3,
                "call_1",
                "unknown",
            ),
            [
                "tools offered search, shell and 1 more",
                "tool result interpretation: search (assistant tool call), call call_1",
            ],
        ),
        (ToolContext("planning", "ambiguous", None, (), 2), ["tools offered 2", "tool planning: no one tool"]),
        (ToolContext("result_interpretation", "inferred"), ["tool result interpretation: no one tool"]),
    ],
)
def test_what_a_request_has_to_do_with_tools_is_told(context: ToolContext, lines: list[str]) -> None:
    asked = msgspec.structs.replace(OPENED.request, tool_context=context)
    shown = told(receipt(msgspec.structs.replace(OPENED, request=asked)))
    at = shown.index("request 2 messages, about 40 tokens, to be answered streamed") + 1
    assert shown[at : at + len(lines)] == lines


def test_the_tools_that_an_answer_called_are_told() -> None:
    called = msgspec.structs.replace(FALLBACK[4], called_tools=("search", "shell"))
    assert f"{SECOND_ATTEMPT}; called search, shell" in told(receipt(*FALLBACK[:4], called, *FALLBACK[5:]))


def test_what_a_request_cost_is_told_of_each_attempt_and_of_all() -> None:
    *before, finished, closed = FALLBACK
    priced = (msgspec.structs.replace(fact, cost_usd=cost) for fact, cost in [(finished, 0.00123), (closed, 0.002)])
    lines = told(receipt(*before, *priced))

    assert [line.rpartition("(reported); ")[2] for line in lines if line.startswith("2 ")] == [
        "0.00123 USD; finish stop"
    ]
    assert "cost 0.002 USD" in lines


@pytest.mark.parametrize(
    ("taken", "by", "words"), [(True, "session", "taken, by its session"), (False, "draw", "not taken, by a draw")]
)
def test_the_side_of_a_canary_is_told_and_the_callers_trace(taken: bool, by: Any, words: str) -> None:
    side = CanarySide("coding-balanced", "v2", 5.0, 400, by, taken)
    asked = msgspec.structs.replace(OPENED.request, trace_id="4bf92f3577b34da6a3ce929d0e0e4736")
    lines = told(receipt(msgspec.structs.replace(OPENED, canaries=(side,), request=asked)))

    assert f"canary v2 of coding-balanced at 5 %: {words}" in lines
    assert "trace 4bf92f3577b34da6a3ce929d0e0e4736" in lines


def test_a_request_that_nothing_could_serve_says_so() -> None:
    decision = msgspec.structs.replace(
        OPENED.decision, selected_models=(), selected_model=None, route_blocked=True, graph_path=()
    )
    blocked: Opened = msgspec.structs.replace(OPENED, decision=decision, caller=Caller())
    closed = Closed("route_blocked", 0, error_code="context_length_exceeded", error_message="nothing is that large")

    lines = told(receipt(blocked, closed))

    assert "blocked no target could serve this request" in lines
    assert "none no provider was called" in lines
    assert "status route_blocked, 0 attempts" in lines
    assert "released nothing" in lines
    assert "error nothing is that large (context_length_exceeded)" in lines


def test_a_target_that_could_not_be_called_is_named_with_what_kept_it() -> None:
    passed = [
        PassedOver("local/small", "local", "saturated", waited_ms=5000.0),
        PassedOver("cloud/large", "cloud", "breaker_open", retry_after_s=15.0),
    ]
    lines = told(receipt(OPENED, *passed, Closed("provider_error", 0, error_code="no_target_available")))

    assert "none no provider was called" in lines
    assert "passed over local/small at local: saturated after waiting 5.0 s" in lines
    assert "passed over cloud/large at cloud: breaker open" in lines


def test_an_answer_that_another_target_went_on_with_says_where() -> None:
    started = AttemptStarted(2, "cloud/large", "cloud", "large")
    seam = Resumed(2, 1, "local/small", "cloud/large", "prefill", 118)
    assert "resumed attempt 2 goes on behind 118 bytes of text from attempt 1: cloud/large was given it" in told(
        receipt(OPENED, seam, started)
    )
    repeated = msgspec.structs.replace(seam, by="repeat", text_bytes=1)
    assert "resumed attempt 2 goes on behind 1 byte of text from attempt 1: cloud/large had to repeat it" in told(
        receipt(OPENED, repeated, started)
    )


def test_rules_that_fired_and_exact_counts_are_part_of_the_decision() -> None:
    request = msgspec.structs.replace(OPENED.decision.facts.request, exact_prompt_tokens={"o200k_base": 41})
    facts = msgspec.structs.replace(OPENED.decision.facts, request=request)
    action = PolicyAction("coding-balanced", "keep-local", "route_gate", "restrict_routes", "records stay here")
    decision = msgspec.structs.replace(OPENED.decision, facts=facts, policy_actions=(action,))

    lines = told(receipt(msgspec.structs.replace(OPENED, decision=decision)))

    assert "counted 41 tokens in the prompt by o200k_base" in lines
    assert "policy keep-local of coding-balanced: restrict routes; records stay here" in lines


@pytest.mark.parametrize(
    ("skip", "words"),
    [
        (
            Skip("t", "context_window_too_small", 16, "alloy blend"),
            "its window of 16 tokens, that of alloy blend, is too small for 140",
        ),
        (Skip("t", "breaker_open", 16), "it keeps failing"),
        (Skip("t", "rate_limited", 16, retry_after_s=4.2), "it is limiting requests, again in 4 s"),
        (Skip("t", "saturated", 16), "its provider is working to capacity"),
        (
            Skip("t", "guard_denied", 16, "paid: tenant_id"),
            "a guard does not let the request come to it (paid: tenant_id)",
        ),
        (Skip("t", "guard_passed", 16, "paid"), "the guard paid let the request pass elsewhere"),
        (Skip("t", "policy_route_gate", 16), "a rule leaves it out"),
        (Skip("t", "policy_route_gate", 16, "policy forces x"), "a rule leaves it out (policy forces x)"),
        (Skip("t", "forced_model_unavailable"), "a rule forces it, but there is no way to it"),
    ],
)
def test_every_reason_for_a_skip_has_its_words(skip: Skip, words: str) -> None:
    decision = msgspec.structs.replace(OPENED.decision, skipped=(skip,))
    assert f"skipped t: {words}" in told(receipt(msgspec.structs.replace(OPENED, decision=decision)))


def test_what_else_had_a_say_in_the_choice_is_told() -> None:
    decision = msgspec.structs.replace(
        OPENED.decision,
        sticky=(StickyChoice("fit", ("a", "b"), "a"), StickyChoice("blend", ("c",), None, "sonnet")),
        overflow="fit",
        fallback_used=True,
    )
    lines = told(receipt(msgspec.structs.replace(OPENED, decision=decision)))
    assert "session fit: the session stays on a, because it is sticky" in lines
    assert (
        "session blend: the session stays with who serves it now, because sonnet keeps its history to itself" in lines
    )
    assert "overflow no window is large enough; fit takes its largest all the same" in lines
    assert "fallback the target that a rule forces cannot serve, and the rule allows others" in lines


def test_an_open_receipt_says_what_may_have_happened() -> None:
    lines = told(receipt(OPENED, AttemptStarted(1, "local/small", "local", "small:7b")))

    assert lines[0] == "rcpt_0001 open"
    assert "1 local/small at local: unfinished" in lines
    assert lines[-1].startswith("open the request has not ended, or its daemon died")


def test_what_has_faded_is_told_and_how_it_ended_as_ever() -> None:
    whole, left = receipt(*FALLBACK), receipt(FALLBACK[0], *[Faded("attempt.started")] * 4, FALLBACK[-1])

    lines = told(left)

    assert lines[lines.index("attempts") + 1] == "faded 4 events: what they said is not kept any more"
    assert lines[lines.index("attempts") + 2 :] == told(whole)[told(whole).index("outcome") :]
    assert lines[: lines.index("attempts")] == told(whole)[: told(whole).index("attempts")]


def test_a_message_from_a_provider_cannot_move_the_cursor() -> None:
    closed = Closed("provider_error", 1, error_code="provider_error", error_message="\x1b[2Jbad")

    assert "error \\x1b[2Jbad (provider_error)" in told(receipt(OPENED, closed))


@pytest.mark.parametrize(
    ("milliseconds", "shown"), [(0.2, "0 ms"), (12.4, "12 ms"), (999, "999 ms"), (1500, "1.5 s"), (61_000, "61.0 s")]
)
def test_durations_read_in_their_unit(milliseconds: float, shown: str) -> None:
    assert duration(milliseconds) == shown


@pytest.mark.parametrize(
    ("status", "style"),
    [("completed", "green"), ("open", "yellow"), ("client_cancelled", "yellow"), ("provider_error", "red")],
)
def test_a_status_has_the_colour_of_its_weight(status: str, style: str) -> None:
    assert status_style(status) == style


def test_what_stream_rules_did_is_told_in_order() -> None:
    fired = RuleFired("old", "retry_with_reminder", "text", 1, 4, 14, "stream_window", "literal")
    in_a_call = RuleFired("old", "block", "tool_arguments", 0, 0, 3, "chunk", "literal", call=2, shadow=True)
    stopped = StreamFinding(
        "horizon",
        "retry_with_reminder",
        "old",
        2,
        (fired, in_a_call),
        held_bytes=14,
        max_held_bytes=14,
        blocked_bytes=14,
    )
    too_long = StreamFinding("horizon", max_held_bytes=3, held_bytes=3, rewritten_bytes=2, hold_exceeded_ms=5000)
    subject = receipt(
        OPENED,
        AttemptStarted(1, "a", "p", "m"),
        AttemptFinished(1, "a", "stopped", AT, 1.0, stream_policy=stopped),
        AskedAgain(1, "old", "retry_with_reminder", 1, 2, "a", "b", 9, reminder_injected=True),
        AttemptStarted(2, "b", "p", "m"),
        AttemptFinished(2, "b", "stopped", AT, 1.0, stream_policy=too_long),
        NotAskedAgain(2, "old", "retry_with_reminder", "attempts_spent", 1, 2),
        Closed("stream_policy_hold_exceeded", 2),
    )
    lines = told(subject)
    assert lines[lines.index("stream policy") : lines.index("outcome")] == [
        "stream policy",
        "found 2 matches, 1 answer asked for again",
        "attempt 1 old: retry with reminder; bytes 4 to 14 of the text",
        "attempt 1 old: block (shadow); bytes 0 to 3 of the call 2",
        "attempt 1 old: b is asked again with a reminder, 1 of 2",
        "attempt 2 text was held for 5.0 s, which is too long",
        "attempt 2 old: not asked again, attempts spent",
        "held at most 3 bytes at a time, 3 at the end; 2 bytes replaced or dropped",
    ]


def test_what_became_of_the_form_of_answers_is_told_in_order() -> None:
    held_to = OutputSummary(("answer", "list"), "json_schema", 1)
    opened = msgspec.structs.replace(OPENED, request=msgspec.structs.replace(OPENED.request, structured_output=held_to))
    in_a_call = OutputFinding(False, None, "tool_arguments", "tool_arguments", 0, 2)
    lines = told(
        receipt(
            opened,
            AttemptStarted(1, "a", "p", "m"),
            AttemptFinished(1, "a", "rejected", AT, 1.0, structured_output=in_a_call),
            AskedAgain(1, "tool_arguments", FEEDBACK, 1, 2, "a", "a", 9, policy="structured_output"),
            AttemptStarted(2, "a", "p", "m"),
            AttemptFinished(2, "a", "completed", AT, 1.0, structured_output=OutputFinding(True, "answer")),
            Closed("completed_after_guard", 2),
        )
    )
    assert (
        "form JSON that one of these accepts: answer, list; the request's own json_schema; "
        "arguments of 1 tool that match their schemas"
    ) in lines
    assert lines[lines.index("structured output") : lines.index("outcome")] == [
        "structured output",
        "attempt 1 tool arguments: tool arguments in call 2; retry with validation feedback",
        "judged 2 answers; accepted, by answer",
    ]


def test_a_spent_budget_is_told() -> None:
    finding = OutputFinding(False, None, "structured-json", "json_syntax")
    lines = told(
        receipt(
            OPENED,
            AttemptStarted(1, "a", "p", "m"),
            AttemptFinished(1, "a", "rejected", AT, 1.0, structured_output=finding),
            NotAskedAgain(1, "structured-json", FEEDBACK, "guard_budget_spent", 0, 0, policy="structured_output"),
            Closed("structured_output_exhausted", 1),
        )
    )
    assert "judged 1 answer; exhausted guard budget" in lines


def _content(part: ContentPart, content: object, **fields: Any) -> ContentCaptured:
    return ContentCaptured(part, content=msgspec.Raw(msgspec.json.encode(content)), **fields)


def test_captured_content_is_told_message_by_message() -> None:
    call = {"id": "call_1", "function": {"name": "pay", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "pay [redacted:email]"},
        {"role": "user", "content": [{"type": "text", "text": "in parts"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "paid", "tool_call_id": "call_1"},
    ]
    answered = {"index": 0, "reasoning": "thinking", "text": "done", "tool_calls": [{"name": "log", "arguments": "{}"}]}
    lines = told(
        receipt(
            OPENED,
            _content("request", {"messages": messages}, redactions={"email": 1}),
            _content("answer", {"choices": [answered]}, cut_bytes=7),
            Closed("completed", 0),
        )
    )
    assert lines[lines.index("content") :] == [
        "content",
        "user pay [redacted:email]",
        'message {"role": "user", "content": [{"type": "text", "text": "in parts"}]}',
        'message {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "function": {"name": "pay", "arguments": "{}"}}]}',
        "tool paid",
        '{"tool_call_id": "call_1"}',
        "redacted of the request: 1 email",
        "reasoning thinking",
        "answer done",
        "tool call log {}",
        "cut 7 bytes of the answer, which was too long to be kept",
    ]


def test_what_was_erased_is_told_as_that_and_unknown_structures_as_json() -> None:
    erased = msgspec.structs.replace(OPENED, caller=Caller(erased="0" * 32))
    lines = told(
        receipt(erased, _content("request", {"erased": "1" * 32}), _content("answer", ["odd"]), Closed("completed", 0))
    )
    assert "caller erased" in lines
    assert lines[lines.index("content") :] == ["content", "request erased", 'answer ["odd"]']

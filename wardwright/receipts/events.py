"""The facts a receipt is folded from, in the order they became true.

An `Entry` is one line of the log: which receipt, its place in it (`seq` from 1, without gaps), when, the fact itself, and the
hashes that bind it to the entry before it (`receipts.chain` makes and checks them). Entries are stored as the JSON of `encode_entry`: field order is fixed by the
types, so equal entries are equal bytes.

Rules: no prompt, completion, tool argument or credential text in any field but `ContentCaptured.content`, which is there when its
model says `capture = "full_session"` and has been redacted. Times are Unix seconds, durations milliseconds.
"""

from typing import Literal, final

import msgspec

from wardwright.domain.caller import Caller
from wardwright.domain.chat import Usage
from wardwright.domain.errors import Failure
from wardwright.domain.policy import PolicyAction, RuleFired, StreamAction, StreamMode
from wardwright.domain.route import PassReason, PlanInputs, Skip, StickyChoice
from wardwright.domain.stream import ResumedBy
from wardwright.domain.structured import OnViolation, OutputFinding, OutputSummary
from wardwright.domain.tools import ToolContext

FinalStatus = Literal[
    "completed",
    "completed_after_guard",
    "policy_blocked",
    "route_blocked",
    "stream_policy_blocked",
    "stream_policy_retries_exhausted",
    "stream_policy_hold_exceeded",
    "structured_output_exhausted",
    "provider_error",
    "deadline_exceeded",
    "client_cancelled",
    "interrupted",
    "internal_error",
    "simulated",
]

ANSWERED: tuple[FinalStatus, ...] = ("completed", "completed_after_guard")
"""How requests end whose answer is given whole."""

AttemptStatus = Literal["completed", "failed", "cancelled", "stopped", "rejected"]
RetryRefusal = Literal[
    "already_released",
    "retries_spent",
    "attempts_spent",
    "nothing_fits",
    "target_unavailable",
    "rule_budget_spent",
    "guard_budget_spent",
]
ContentPart = Literal["request", "answer"]
RetryPolicyName = Literal["stream_policy", "structured_output"]
FadingType = Literal[
    "attempt.started",
    "stream.resumed",
    "attempt.finished",
    "attempt.retry_requested",
    "attempt.retry_refused",
    "target.passed_over",
]


class RequestSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was asked, without a word of its content.

    `model` is the name as the caller wrote it, `trace_id` the W3C trace that the request belongs to, `structured_output` the form
    that its answers are held to, `tool_context` what it has to do with tools, where it has anything.
    """

    model: str
    normalized_model: str
    message_count: int
    stream: bool
    estimated_prompt_tokens: int
    endpoint: str = "chat.completions"
    request_id: str | None = None
    trace_id: str | None = None
    structured_output: OutputSummary | None = None
    tool_context: ToolContext | None = None


class SelectedTarget(msgspec.Struct, frozen=True):
    """A planned target as the receipt names it."""

    model: str
    provider: str
    context_window: int


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """The route decision: the plan, and everything it was made from (`facts`), enough to make it again.

    `policy_actions` are the rules that fired. `sticky` are the selectors that keep the session on a target, `overflow` is the one
    whose target was taken although it is too small, and `fallback_used` says that a forced target could not serve.
    """

    route_type: str
    route_id: str
    strategy: str
    reason: str
    selected_model: str | None
    selected_provider: str | None
    selected_context_window: int | None
    selected_models: tuple[SelectedTarget, ...]
    fallback_models: tuple[str, ...]
    skipped: tuple[Skip, ...]
    graph_path: tuple[str, ...]
    estimated_prompt_tokens: int
    route_blocked: bool
    facts: PlanInputs
    policy_actions: tuple[PolicyAction, ...] = ()
    sticky: tuple[StickyChoice, ...] = ()
    overflow: str | None = None
    fallback_used: bool = False


class CanarySide(msgspec.Struct, frozen=True):
    """The side of a canary that a request was on: `taken` says whether it went by the canary's version.

    The request fell into one of ten thousand buckets, by its session or, having none, by a draw of the server's; the canary takes the
    first `percent` of them.
    """

    model_id: str
    version: str
    percent: float
    bucket: int
    by: Literal["session", "draw"]
    taken: bool


@final
class Opened(msgspec.Struct, frozen=True, tag="receipt.opened", omit_defaults=True):
    """The request was accepted and decided. On disk before the first upstream call.

    `boot` names the daemon process: an open receipt of another boot is one whose process died. `canaries` are those that might
    have concerned the request, `simulation` says that no provider was ever going to be called,
    `key_id` which API key opened the model.
    """

    boot: str
    model_id: str
    model_version: str
    caller: Caller
    request: RequestSummary
    decision: Decision
    session_turn: int | None = None
    canaries: tuple[CanarySide, ...] = ()
    simulation: bool = False
    key_id: str | None = None


class ContentCaptured(msgspec.Struct, frozen=True, tag="content.captured", omit_defaults=True):
    """What was asked, or what of the answer was released, as JSON without its secrets.

    `redactions` counts what was found, by label. `cut_bytes` are those that it was too long by. What is left of erased content is an
    object of one field, `erased`: a commitment to what was there, see `receipts.erasure`.
    """

    part: ContentPart
    redactions: dict[str, int] = {}
    cut_bytes: int = 0
    content: msgspec.Raw = msgspec.Raw(b"null")


@final
class AttemptStarted(msgspec.Struct, frozen=True, tag="attempt.started"):
    """An upstream call is about to be made. `attempt` counts from 1."""

    attempt: int
    model: str
    provider: str
    upstream_model: str


class Resumed(msgspec.Struct, frozen=True, tag="stream.resumed"):
    """The stream of `from_attempt` broke behind its release, and `attempt` is about to go on from there.

    The seam lies behind `text_bytes` of text and `reasoning_bytes` of reasoning, which the client has got. `by` says how: the target is
    given the text as the beginning of its answer (`prefill`), or has to repeat it (`repeat`).
    """

    attempt: int
    from_attempt: int
    from_model: str
    to_model: str
    by: ResumedBy
    text_bytes: int
    reasoning_bytes: int = 0


class StreamFinding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the stream rules made of the answer of one attempt.

    `fired` are the first matches, `trigger_count` counts all. `action` is that of the rule which ended the answer (`stopped_by`), or
    else of the last that fired. `held_bytes` neither left nor gave way, `blocked_bytes` are those of them that a rule withholds for
    good; `rewritten_bytes` were replaced or dropped, `inserted_bytes` came in their place: generated and inserted are together what
    was released, rewritten and held. `hold_exceeded_ms` is how long text had been held when that was too long, `hold_exceeded_bytes` how
    much of the provider's stream would have had to be held when that was too much. `spent` are rules that
    hold once per session and have fired, `opened_bytes` left because they had been held for as long as they might.
    """

    mode: StreamMode
    action: StreamAction | None = None
    stopped_by: str | None = None
    trigger_count: int = 0
    fired: tuple[RuleFired, ...] = ()
    held_bytes: int = 0
    max_held_bytes: int = 0
    rewritten_bytes: int = 0
    inserted_bytes: int = 0
    blocked_bytes: int = 0
    hold_exceeded_ms: float | None = None
    hold_exceeded_bytes: int | None = None
    spent: tuple[str, ...] = ()
    opened_bytes: int = 0


@final
class AttemptFinished(msgspec.Struct, frozen=True, tag="attempt.finished", omit_defaults=True):
    """An upstream call ended.

    Bytes count UTF-8 answer text and tool arguments: `generated_bytes` what the provider sent, `released_bytes` what the
    client was sent; `repeated_bytes` are those that an answer had to repeat before it could go on with another one.
    `first_token_ms` is None when nothing came. `usage` is estimated where the provider broke off without a word of
    it; `cost_usd` follows from it and the target's declared price, and is None where either is missing. `stream_policy` is there when
    stream rules read the answer; an attempt that they ended has the status `stopped`. `structured_output` is there when the answer
    came to its end and its form was judged; one that was found faulty has the status `rejected`. `called_tools` names the tools that the
    answer called, as it came: what was released of it is another matter.
    """

    attempt: int
    model: str
    status: AttemptStatus
    started_at: float
    latency_ms: float
    first_token_ms: float | None = None
    generated_bytes: int = 0
    released_bytes: int = 0
    finish_reasons: tuple[str, ...] = ()
    usage: Usage | None = None
    cost_usd: float | None = None
    failure: Failure | None = None
    stream_policy: StreamFinding | None = None
    repeated_bytes: int = 0
    structured_output: OutputFinding | None = None
    called_tools: tuple[str, ...] = ()


class AskedAgain(msgspec.Struct, frozen=True, tag="attempt.retry_requested", omit_defaults=True):
    """A rule ended or rejected the answer of `attempt`, and another is asked for.

    `policy` says whose rule it is. `retry_count` counts what a stream rule has asked for, or what was asked for because of the form of
    answers, whichever rule found the fault. `to_model` is another than `from_model` when the request does not fit there any more, or
    the rule escalates.
    """

    attempt: int
    rule_id: str
    action: StreamAction | OnViolation
    retry_count: int
    max_retries: int
    from_model: str
    to_model: str
    estimated_prompt_tokens: int
    reminder_injected: bool = False
    policy: RetryPolicyName = "stream_policy"


class NotAskedAgain(msgspec.Struct, frozen=True, tag="attempt.retry_refused", omit_defaults=True):
    """A rule ended or rejected the answer of `attempt` and would have another, but there is none to be had; see `AskedAgain`."""

    attempt: int
    rule_id: str
    action: StreamAction | OnViolation
    reason: RetryRefusal
    retry_count: int
    max_retries: int
    policy: RetryPolicyName = "stream_policy"


class PassedOver(msgspec.Struct, frozen=True, tag="target.passed_over", omit_defaults=True):
    """A planned target could not be called when its turn had come, so no upstream call was made.

    `waited_ms` is how long the request waited for a permit before, `retry_after_s` when the target may be asked again.
    """

    model: str
    provider: str
    reason: PassReason
    waited_ms: float = 0.0
    retry_after_s: float | None = None


@final
class Closed(msgspec.Struct, frozen=True, tag="receipt.closed", omit_defaults=True):
    """The request ended. On disk before the answer ends.

    `error_code` is the wire code the client was given; `released` whether any answer byte had left before the end.
    `selected_model` is the target whose answer was released, `error_message` never contains content. `usage` and
    `cost_usd` are those of all attempts together.
    """

    status: FinalStatus
    attempts: int
    selected_model: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    released: bool = False
    released_bytes: int = 0
    latency_ms: float | None = None
    usage: Usage | None = None
    cost_usd: float | None = None


class Faded(msgspec.Struct, frozen=True, tag="event.faded", omit_defaults=True):
    """What is left of an event between a receipt's opening and its closing one when it has faded, see `receipts.fading`.

    `was` is what it was. `spent` are rules that hold once per session and had fired: what becomes of the session depends on them.
    """

    was: FadingType
    spent: tuple[str, ...] = ()


Event = (
    Opened
    | ContentCaptured
    | AttemptStarted
    | Resumed
    | AttemptFinished
    | AskedAgain
    | NotAskedAgain
    | PassedOver
    | Faded
    | Closed
)


class Entry(msgspec.Struct, frozen=True):
    """One line of the log. `prev` is the `hash` of the receipt's preceding entry, empty for the first.

    `hash` covers the entry's own JSON up to the hash, so that the last entry of a receipt, which no other follows, is covered
    too. Of an entry with a `salt` it covers what `receipts.erasure` would leave of it. Both must stay the last fields; only
    `receipts.chain` fills them in.
    """

    receipt_id: str
    seq: int
    at: float
    prev: str
    event: Event
    hash: str = ""
    salt: str | msgspec.UnsetType = msgspec.UNSET


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    """Render an entry as one line of JSON without a newline. Purity: pure."""
    return _encoder.encode(entry)


def decode_entry(payload: bytes) -> Entry:
    """Parse what `encode_entry` made.

    Raises: msgspec.DecodeError (or its subclass ValidationError) for anything else.
    """
    try:
        return _decoder.decode(payload)
    except (UnicodeDecodeError, RecursionError) as error:
        # msgspec lets these through: text that is not UTF-8, and JSON nested without end.
        raise msgspec.DecodeError(str(error)) from error

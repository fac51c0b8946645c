"""What watchers of the daemon are told: topics, and the facts of each, as values.

Rules: no prompt, completion, tool argument, credential or matched text in any field, and nobody's name but the session's and the
run's. Durations are milliseconds, or seconds where the name ends in `_s`. Nothing here is a record: who was not watching has not missed
anything that its owner does not know. `contracts/events.schema.json` is generated from these types.
"""

from collections.abc import Callable
from typing import ClassVar, Literal, TypeAlias, get_args

import msgspec

from wardwright.domain.control import Source
from wardwright.domain.errors import FailureClass
from wardwright.domain.policy import StreamAction
from wardwright.domain.route import PassReason
from wardwright.domain.stream import ResumedBy
from wardwright.domain.structured import OnViolation
from wardwright.receipts.events import AttemptStatus, FinalStatus, RetryPolicyName, RetryRefusal

Topic = Literal["receipts", "policy", "models", "keys", "providers", "actors", "storage", "sinks", "config"]
TOPICS: tuple[Topic, ...] = get_args(Topic)
OF_REQUESTS: frozenset[Topic] = frozenset({"receipts", "policy"})
"""What each request has to tell: told only while somebody watches, and for a while after."""


class _Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Something that became true."""

    topic: ClassVar[Topic]


# --- receipts ---------------------------------------------------------------------------------------------------------


class _OfReceipt(_Fact, frozen=True, kw_only=True):
    """A fact of one request; told once it is on disk, where receipts are."""

    topic: ClassVar[Topic] = "receipts"
    receipt_id: str
    model_id: str
    session_id: str | None


class ReceiptOpened(_OfReceipt, frozen=True, kw_only=True, tag="receipt.opened"):
    """A request was accepted and decided. `planned` are the targets it may go to, in this order."""

    model_version: str
    run_id: str | None
    stream: bool
    session_turn: int | None
    estimated_prompt_tokens: int
    planned: tuple[str, ...]


class AttemptStarted(_OfReceipt, frozen=True, kw_only=True, tag="attempt.started"):
    """An upstream call is about to be made."""

    attempt: int
    target: str
    provider: str


class AttemptFinished(_OfReceipt, frozen=True, kw_only=True, tag="attempt.finished"):
    """An upstream call ended. `failure` is the class of what went wrong, `failure_status` the provider's HTTP status."""

    attempt: int
    target: str
    status: AttemptStatus
    latency_ms: float
    first_token_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    failure: FailureClass | None
    failure_status: int | None


class TargetPassedOver(_OfReceipt, frozen=True, kw_only=True, tag="target.passed_over"):
    """A planned target could not be called when its turn had come."""

    target: str
    provider: str
    reason: PassReason
    waited_ms: float
    retry_after_s: float | None


class StreamResumed(_OfReceipt, frozen=True, kw_only=True, tag="stream.resumed"):
    """A stream broke behind its release, and another target is about to go on from there."""

    attempt: int
    from_attempt: int
    from_target: str
    to_target: str
    by: ResumedBy


class ReceiptClosed(_OfReceipt, frozen=True, kw_only=True, tag="receipt.closed"):
    """A request ended. `target` is the one whose answer was released; tokens and cost are those of all attempts together."""

    model_version: str
    run_id: str | None
    status: FinalStatus
    attempts: int
    target: str | None
    latency_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    error_code: str | None


# --- policy -----------------------------------------------------------------------------------------------------------


class _OfRule(_OfReceipt, frozen=True, kw_only=True):
    """What a rule did to a request: which rule, never what it matched."""

    topic: ClassVar[Topic] = "policy"
    rule_id: str
    action: str


class RuleFired(_OfRule, frozen=True, kw_only=True, tag="rule.fired"):
    """A rule over requests, over an answer's text or over its form fired; a `shadow` rule has only been observed.

    `rule_model_id` is the model that the rule is part of, which may be nested below the request's; None where the receipt does not say.
    """

    phase: Literal["request", "stream", "output"]
    rule_model_id: str | None
    attempt: int | None
    shadow: bool


class AskedAgain(_OfRule, frozen=True, kw_only=True, tag="attempt.retry_requested"):
    """A rule ended or rejected the answer of `attempt`, and another is asked for."""

    action: StreamAction | OnViolation
    policy: RetryPolicyName
    attempt: int
    retry_count: int
    from_target: str
    to_target: str


class NotAskedAgain(_OfRule, frozen=True, kw_only=True, tag="attempt.retry_refused"):
    """A rule ended or rejected the answer of `attempt` and would have another, but there is none to be had."""

    action: StreamAction | OnViolation
    policy: RetryPolicyName
    attempt: int
    reason: RetryRefusal


# --- models and keys --------------------------------------------------------------------------------------------------


class _OfModel(_Fact, frozen=True, kw_only=True):
    """A decision about a model; told once it is durable."""

    topic: ClassVar[Topic] = "models"
    model_id: str


class VersionAdded(_OfModel, frozen=True, kw_only=True, tag="version.added"):
    """A version exists from now on, published or not."""

    version: str
    source: Source


class VersionPublished(_OfModel, frozen=True, kw_only=True, tag="version.published"):
    """A version answers from now on; a canary of the model, if there was one, ends."""

    version: str
    source: Source


class CanarySet(_OfModel, frozen=True, kw_only=True, tag="canary.set"):
    """A share of the model's sessions is served by another version than the published one."""

    version: str
    percent: float


class CanaryEnded(_OfModel, frozen=True, kw_only=True, tag="canary.ended"):
    """Every session is served by the published version again."""


class VersionRolledBack(_OfModel, frozen=True, kw_only=True, tag="version.rolled_back"):
    """The version that was published before answers again, instead of `undone`."""

    version: str
    undone: str


class ModelRetired(_OfModel, frozen=True, kw_only=True, tag="model.retired"):
    """The model is served no more."""

    source: Source


class KeyCreated(_Fact, frozen=True, kw_only=True, tag="key.created"):
    """There is another API key; never the key."""

    topic: ClassVar[Topic] = "keys"
    key_id: str
    model_id: str
    label: str


class KeyRevoked(_Fact, frozen=True, kw_only=True, tag="key.revoked"):
    """A key opens nothing any more."""

    topic: ClassVar[Topic] = "keys"
    key_id: str


# --- providers --------------------------------------------------------------------------------------------------------


class _OfProvider(_Fact, frozen=True, kw_only=True):
    """What was found out about a provider."""

    topic: ClassVar[Topic] = "providers"
    provider: str


class BreakerOpened(_OfProvider, frozen=True, kw_only=True, tag="breaker.opened"):
    """The provider is left alone for so long; `failure` was the last one."""

    for_s: float
    failure: FailureClass
    failure_status: int | None


class BreakerProbing(_OfProvider, frozen=True, kw_only=True, tag="breaker.half_open"):
    """One call is finding out whether the provider is back."""

    target: str


class BreakerClosed(_OfProvider, frozen=True, kw_only=True, tag="breaker.closed"):
    """The provider is in use again."""


class HoldBegan(_OfProvider, frozen=True, kw_only=True, tag="hold.began"):
    """The provider, or one target of it, is not asked for so long."""

    target: str | None
    reason: PassReason
    for_s: float


# --- actors -----------------------------------------------------------------------------------------------------------


class _OfActor(_Fact, frozen=True, kw_only=True):
    """What happened to a member of the supervision tree."""

    topic: ClassVar[Topic] = "actors"
    path: str


class ActorCrashed(_OfActor, frozen=True, kw_only=True, tag="actor.crashed"):
    """An actor ended by a fault of its own. `restarts` counts those before."""

    kind: str
    reason: str
    restarts: int


class ActorEnded(_OfActor, frozen=True, kw_only=True, tag="actor.ended"):
    """An actor ended though nobody stopped it, by a crash or a kill; a permanent one is started again."""

    kind: str
    reason: str
    is_restarted: bool


class ActorRestarted(_OfActor, frozen=True, kw_only=True, tag="actor.restarted"):
    """An actor is up again."""

    kind: str
    restarts: int


class RestartDelayed(_OfActor, frozen=True, kw_only=True, tag="actor.restart_delayed"):
    """An actor is to be started again in so many seconds."""

    for_s: float
    attempt: int


class StartFailed(_OfActor, frozen=True, kw_only=True, tag="actor.start_failed"):
    """An actor could not be started."""

    reason: str


class StopFailed(_OfActor, frozen=True, kw_only=True, tag="actor.stop_failed"):
    """An actor did not stop in order, or was killed and still runs."""

    reason: str


class SupervisorGaveUp(_OfActor, frozen=True, kw_only=True, tag="supervisor.gave_up"):
    """A supervisor saw too many failures, the last of them of `offender`, and leaves it to the level above."""

    offender: str | None
    reason: str


# --- storage, sinks, configuration -------------------------------------------------------------------------------------


class StorageLost(_Fact, frozen=True, kw_only=True, tag="storage.unavailable"):
    """Receipts cannot be written; told once, until they can again."""

    topic: ClassVar[Topic] = "storage"
    problem: str


class StorageRecovered(_Fact, frozen=True, kw_only=True, tag="storage.recovered"):
    """Receipts are written again."""

    topic: ClassVar[Topic] = "storage"


class _OfSink(_Fact, frozen=True, kw_only=True):
    """How receipts get on with a sink."""

    topic: ClassVar[Topic] = "sinks"
    sink: str


class SinkLost(_OfSink, frozen=True, kw_only=True, tag="sink.unavailable"):
    """A sink takes nothing; told once, until it does again."""

    problem: str


class SinkRecovered(_OfSink, frozen=True, kw_only=True, tag="sink.recovered"):
    """A sink takes records again."""

    after_failures: int


class SinkPaused(_OfSink, frozen=True, kw_only=True, tag="sink.paused"):
    """Somebody has paused a sink: it is sent nothing."""


class SinkResumed(_OfSink, frozen=True, kw_only=True, tag="sink.resumed"):
    """Somebody has resumed a sink: it is sent what waits."""


class SinkPassedOver(_OfSink, frozen=True, kw_only=True, tag="sink.passed_over"):
    """What a sink has not got, since this was last told: records it refused, entries that it was too far behind for, or that are gone."""

    refused: int
    dropped: int
    lost: int


class GatewayClosed(_OfSink, frozen=True, kw_only=True, tag="sink.gateway_closed"):
    """A sink that must miss nothing is too far behind, so no request is taken in."""


class GatewayOpened(_OfSink, frozen=True, kw_only=True, tag="sink.gateway_opened"):
    """The sink that kept requests out does so no more."""


class ConfigFollowed(_Fact, frozen=True, kw_only=True, tag="config.followed"):
    """Another configuration is in force. `at_next_start` are the keys that take effect only then."""

    topic: ClassVar[Topic] = "config"
    source: str
    published: tuple[str, ...]
    retired: tuple[str, ...]
    providers_added: tuple[str, ...]
    providers_changed: tuple[str, ...]
    providers_removed: tuple[str, ...]
    at_next_start: tuple[str, ...]


class ConfigRefused(_Fact, frozen=True, kw_only=True, tag="config.refused"):
    """A changed configuration has problems, so the one that runs stays. Of many problems the first are told."""

    topic: ClassVar[Topic] = "config"
    source: str
    problems: tuple[str, ...]
    problem_count: int


Fact: TypeAlias = (
    ReceiptOpened
    | AttemptStarted
    | AttemptFinished
    | TargetPassedOver
    | StreamResumed
    | ReceiptClosed
    | RuleFired
    | AskedAgain
    | NotAskedAgain
    | VersionAdded
    | VersionPublished
    | CanarySet
    | CanaryEnded
    | VersionRolledBack
    | ModelRetired
    | KeyCreated
    | KeyRevoked
    | BreakerOpened
    | BreakerProbing
    | BreakerClosed
    | HoldBegan
    | ActorCrashed
    | ActorEnded
    | ActorRestarted
    | RestartDelayed
    | StartFailed
    | StopFailed
    | SupervisorGaveUp
    | StorageLost
    | StorageRecovered
    | SinkLost
    | SinkRecovered
    | SinkPaused
    | SinkResumed
    | SinkPassedOver
    | GatewayClosed
    | GatewayOpened
    | ConfigFollowed
    | ConfigRefused
)

Tell: TypeAlias = Callable[[Fact], None]
"""Makes a fact visible. Never blocks, never raises."""


def tell_nobody(fact: Fact) -> None:
    """Where nobody can watch."""

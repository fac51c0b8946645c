"""What a configuration file may say: exactly the keys that have an effect, with their defaults.

The types are the format: the loader's checks and the JSON Schema in `contracts/` are both derived from them. A constraint's
`description` is the phrase that completes "expected …" in a message. `private` marks values that no message may repeat.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta

from wardwright.config.sinks import SinkSettings
from wardwright.config.values import Seconds, Table, Text, Url, VariableName
from wardwright.domain.chat import PrefillStyle
from wardwright.domain.policy import Capture, HoldExceeded
from wardwright.domain.tokens import Tokenizer
from wardwright.planner.attempts import RetryPolicy
from wardwright.planner.breaker import BreakerPolicy

Permits = Annotated[int, Meta(ge=1, le=4096, description="a number of calls at a time, 1 to 4096")]
Threads = Annotated[int, Meta(ge=1, le=1024, description="a number of threads, 1 to 1024")]
Tokens = Annotated[int, Meta(ge=1, le=10**9, description="a positive number of tokens")]
Selectable = Annotated[
    str,
    Meta(
        pattern=r"^(?!wardwright/)[!-~]{1,256}$",
        description='an id: 1 to 256 printable ASCII characters, no spaces, not beginning with "wardwright/"',
    ),
]
PlainId = Annotated[
    str,
    Meta(pattern=r"^[!-.0-~]{1,256}$", description='an id: 1 to 256 printable ASCII characters, no spaces, no "/"'),
]
Version = Annotated[
    str, Meta(pattern=r"^[!-~]{1,256}$", description="a version: 1 to 256 printable ASCII characters, no spaces")
]
Members = Annotated[
    tuple[Text, ...], Meta(min_length=1, description="a list of at least one target, selector or model, by id")
]
Choices = Annotated[tuple[Text, ...], Meta(min_length=1, description="a list of at least one text")]
Price = Annotated[float, Meta(ge=0, le=1e6, description="USD per million tokens, 0 or more")]


class ServerSettings(Table, frozen=True, kw_only=True):
    """Where the daemon listens, what it accepts, how long it waits for a client, and for live requests when it stops."""

    bind: Annotated[str, Meta(description='"host:port"')] = "127.0.0.1:8791"
    admin_token_env: VariableName = "WARDWRIGHT_ADMIN_TOKEN"  # noqa: S105 - a variable's name
    max_body_bytes: Annotated[int, Meta(ge=1, le=2**40, description="a positive number of bytes")] = 33554432
    stall_seconds: Seconds = 60
    ping_seconds: Annotated[float, Meta(ge=0, le=1e6, description="a number of seconds, 0 or more")] = 15
    drain_seconds: Annotated[float, Meta(ge=0, le=1e6, description="a number of seconds, 0 or more")] = 30


class RuntimeSettings(Table, frozen=True, kw_only=True):
    """Which event loop runs the daemon."""

    backend: Literal["asyncio", "trio"] = "asyncio"


class RetentionSettings(Table, frozen=True, kw_only=True):
    """How long things are kept; without a key for good. A day is the least: budgets of a day are made up from its receipts and their events.

    Events and content may go before their receipt does, and content any time.
    """

    receipts_days: Annotated[float, Meta(ge=1, le=36_500, description="a number of days, 1 to 36500")] | None = None
    events_days: Annotated[float, Meta(ge=1, le=36_500, description="a number of days, 1 to 36500")] | None = None
    content_days: Annotated[float, Meta(gt=0, le=36_500, description="a number of days, more than 0")] | None = None


SchemaName = Annotated[
    str,
    Meta(
        pattern=r"^(?!pg_)[a-z_][a-z0-9_]{0,62}$",
        description='the name of a schema: 1 to 63 of a-z, 0-9 and "_", not beginning with a digit or "pg_"',
    ),
]


class StorageSettings(Table, frozen=True, kw_only=True):
    """Where receipts are kept. `path` also holds pulled model weights. `url_env` and `schema` say where `postgres` keeps receipts."""

    kind: Literal["memory", "file", "sqlite", "postgres"] = "file"
    path: Text = "~/.local/share/wardwright"
    url_env: VariableName = "WARDWRIGHT_POSTGRES_URL"
    schema: SchemaName = "wardwright"
    durability: Literal["strict", "batched", "none"] = "strict"
    retention: RetentionSettings = RetentionSettings()


class IncludeSettings(Table, frozen=True, kw_only=True):
    """Further files with `[[models]]` tables, as paths or globs relative to the including file."""

    models: tuple[Text, ...] = ()


class Timeouts(Table, frozen=True, kw_only=True):
    """How long each stage of an upstream call may take, in seconds."""

    connect: Seconds = 5
    first_token: Seconds = 60
    idle: Seconds = 30
    total: Seconds = 600


class ProviderBase(Table, frozen=True, kw_only=True, tag_field="kind"):
    """What providers of every kind share. `max_concurrency` calls are made at a time; more wait for their turn."""

    id: PlainId
    max_concurrency: Permits = 64
    timeouts: Timeouts = Timeouts()
    retry: RetryPolicy = RetryPolicy()
    breaker: BreakerPolicy = BreakerPolicy()


class RemoteSettings(ProviderBase, frozen=True, kw_only=True):
    """A server somewhere else. The credential is named, never written: by variable or by file."""

    base_url: Url
    credential_env: VariableName | None = None
    credential_file: Text | None = None


class OpenAICompatibleSettings(RemoteSettings, frozen=True, kw_only=True, tag="openai-compatible"):
    """A server that speaks the OpenAI chat API. `prefill` is how it is told to go on from the beginning of an answer."""

    prefill: PrefillStyle = "continue_final_message"


class OllamaSettings(RemoteSettings, frozen=True, kw_only=True, tag="ollama"):
    """An Ollama, asked over its own API."""

    base_url: Url = "http://127.0.0.1:11434"


class AnthropicSettings(RemoteSettings, frozen=True, kw_only=True, tag="anthropic"):
    """A server of Anthropic's Messages API, which wants a limit on every answer: where the caller sets none it is `default_max_tokens`."""

    base_url: Url = "https://api.anthropic.com"
    default_max_tokens: Tokens = 8192


class LlamaCppSettings(ProviderBase, frozen=True, kw_only=True, tag="llama-cpp"):
    """A llama.cpp server that the daemon runs itself, on pulled `weights` or on a GGUF file at `model_path`.

    Without `threads` the server takes half as many as the machine has cores.
    """

    context_window: Tokens
    weights: Text | None = None
    model_path: Text | None = None
    threads: Threads | None = None


class CannedSettings(ProviderBase, frozen=True, kw_only=True, tag="canned"):
    """A provider of scripted answers, for demonstrations and tests; it takes `outputs` in turn."""

    outputs: Annotated[tuple[str, ...], Meta(min_length=1, description="a list of at least one answer text")]
    chunk_delay_ms: Annotated[int, Meta(ge=0, le=60_000, description="milliseconds, 0 to 60000")] = 0


ProviderSettings = OpenAICompatibleSettings | AnthropicSettings | OllamaSettings | LlamaCppSettings | CannedSettings


class PriceSettings(Table, frozen=True, kw_only=True):
    """USD per million tokens."""

    input: Price
    output: Price
    cached_input: Price | None = None


class TargetSettings(Table, frozen=True, kw_only=True):
    """A concrete model at a provider.

    Without `upstream_model` it is called by its id without the provider's prefix; without `capabilities` it is taken to
    serve everything, but for `prefill`: going on from the beginning of an answer. With a `tokenizer` its prompts are counted exactly where the estimate comes near to a window. The `history` of
    a target that signs or encrypts its thinking is private: no other target can go on from it.
    """

    id: Selectable
    provider: Annotated[str, Meta(description="the id of a provider")]
    context_window: Tokens
    upstream_model: Text | None = None
    capabilities: tuple[Literal["chat", "tools", "json_schema", "vision", "reasoning", "prefill"], ...] | None = None
    price: PriceSettings | None = None
    tags: tuple[Text, ...] = ()
    tokenizer: Tokenizer | None = None
    history: Literal["shared", "private"] = "shared"


class _Chooser(Table, frozen=True, kw_only=True):
    """What selectors that choose among several members share."""

    sticky: Literal["session"] | None = None
    on_overflow: Literal["refuse", "largest"] = "refuse"
    on_content_filter: Literal["pass_on", "next"] = "pass_on"
    resume: Literal["continue"] | None = None


class SelectorSettings(_Chooser, frozen=True, kw_only=True):
    """A node of a route graph that takes its members in order: targets, selectors, and models by their prefixed names.

    With `sticky` a session stays on the target that served it while that can serve. What fits nowhere in the whole graph is refused,
    or goes to the largest window here all the same. A provider's refusal of the content is passed on, or the next target asked. With `resume`
    the next target goes on with a stream that broke behind its release.
    """

    id: Selectable
    models: Members


class ConstituentSettings(Table, frozen=True, kw_only=True):
    """A member of an alloy; `weight` is its share of weighted draws."""

    model: Text
    weight: Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number from 1 to 1000000")] = 1


Constituents = Annotated[
    tuple[ConstituentSettings, ...], Meta(min_length=2, description="a list of at least two tables with a model each")
]


class AlloySettings(_Chooser, frozen=True, kw_only=True):
    """A node of a route graph that blends its constituents: another one may come first in every call of one session.

    None is used for a request that the smallest of them (or `min_context_window`) cannot hold, unless `partial_context` lets those
    that can go on without it.
    """

    id: Selectable
    constituents: Constituents
    strategy: Literal["round_robin", "weighted", "deterministic_all"] = "weighted"
    partial_context: bool = False
    min_context_window: Tokens | None = None


class RequirementSettings(Table, frozen=True, kw_only=True):
    """What a guard asks for: all of it has to hold, and of each list one entry."""

    tenant_id: Choices | None = None
    application_id: Choices | None = None
    consuming_agent_id: Choices | None = None
    consuming_user_id: Choices | None = None
    tags: Choices | None = None
    target_tags: Choices | None = None
    max_usd_per_day: Annotated[float, Meta(ge=0, le=1e9, description="dollars, 0 or more")] | None = None


class GuardSettings(Table, frozen=True, kw_only=True):
    """A node of a route graph that passes to `model` when its requirements hold, else to `otherwise`, or to nothing."""

    id: Selectable
    require: RequirementSettings
    model: Text
    otherwise: Text | None = None


class AliasSettings(Table, frozen=True, kw_only=True):
    """A node of a route graph that is another name for a member."""

    id: Selectable
    model: Text


class AccessSettings(Table, frozen=True, kw_only=True):
    """Who may call the model: callers that show a key of its own, and whether those without one may, or only other models."""

    requires_api_key: bool = False
    unkeyed: Literal["public", "internal"] = "public"


class RouteRuleSettings(Table, frozen=True, kw_only=True, tag_field="kind", tag="route_gate"):
    """A rule over a request's text that decides on its route: it fires on a text that has `contains`, or a match of `regex`.

    `restrict_routes` leaves `allowed_targets` (targets by id, or all of a provider), `switch_model` and its other name `reroute`
    send the request to `target_model` and nowhere else, unless `allow_fallback`; `block` refuses it.
    """

    id: Selectable
    action: Literal["restrict_routes", "switch_model", "reroute", "block"]
    contains: Text | None = None
    regex: Text | None = None
    allowed_targets: tuple[Text, ...] | None = None
    target_model: Text | None = None
    allow_fallback: bool = False
    message: Text = "request policy matched"


Holding = Annotated[int, Meta(ge=1, le=600_000, description="milliseconds, 1 to 600000")]
Watched = Annotated[
    tuple[Literal["text", "reasoning", "tool_arguments", "any"], ...],
    Meta(min_length=1, description='a list of at least one of "text", "reasoning", "tool_arguments" and "any"'),
]


Pointer = Annotated[str, Meta(pattern=r"^(/.*)?$", description='a JSON pointer such as "/confidence"')]
Bound = Annotated[float, Meta(ge=-1e300, le=1e300, description="a number")]
Answers = Annotated[int, Meta(ge=1, le=100, description="a number of answers, 1 to 100")]
Schemas = Annotated[
    dict[str, dict[str, Any]],
    Meta(min_length=1, description="a table of at least one JSON Schema (draft 2020-12), each under its name"),
]


class StreamRuleSettings(Table, frozen=True, kw_only=True):
    """A rule over what a model answers, before it is released: it fires on a text that has `contains`, or a match of `regex`.

    `annotate` only tells the receipt; `rewrite` puts `replacement` in the place of a match, `drop` nothing; `block` refuses the answer;
    `retry` asks again, `retry_with_reminder` with `reminder` behind the messages, `escalate` at `target`. A `shadow` rule is observed
    and does nothing. `on_hold_exceeded` says whether text that was held for too long ends the answer, or leaves. A pattern without a longest match needs `horizon_bytes`, or the mode `full_buffer`.
    """

    id: Selectable
    action: Literal["annotate", "rewrite", "drop", "block", "retry", "retry_with_reminder", "escalate"]
    on: Watched = ("text", "tool_arguments")
    contains: Text | None = None
    regex: Text | None = None
    replacement: str | None = None
    reminder: Text | None = None
    target: Text | None = None
    max_retries: Annotated[int, Meta(ge=0, le=10, description="a whole number from 0 to 10")] | None = None
    once_per: Literal["request", "session"] | None = None
    shadow: bool = False
    horizon_bytes: Annotated[int, Meta(ge=1, le=1_048_576, description="a number of bytes, 1 to 1048576")] | None = None
    max_hold_ms: Holding | None = None
    on_hold_exceeded: HoldExceeded = "closed"


class StreamPolicySettings(Table, frozen=True, kw_only=True):
    """How answers are held back while stream rules read them, for how long any text may be held, and how much of a provider's stream."""

    mode: Literal["pass_through", "horizon", "semantic_boundary", "full_buffer"] = "horizon"
    max_hold_ms: Holding | None = None
    max_hold_bytes: Annotated[
        int, Meta(ge=1024, le=1_073_741_824, description="a number of bytes, 1024 to 1073741824")
    ] = 33_554_432
    on_hold_exceeded: HoldExceeded = "closed"


class NumberRuleSettings(Table, frozen=True, kw_only=True, tag_field="kind", tag="json_path_number"):
    """A rule over the number at `path`, a JSON pointer into the answer: it must be there, and within every bound given."""

    id: Text
    path: Pointer
    gte: Bound | None = None
    gt: Bound | None = None
    lte: Bound | None = None
    lt: Bound | None = None


class TextRuleSettings(Table, frozen=True, kw_only=True, tag_field="kind", tag="json_path_string_not_contains"):
    """A rule over the string at `path`, a JSON pointer into the answer: it must not have `pattern` in it, in either case of letters."""

    id: Text
    path: Pointer
    pattern: Text


class GuardLoopSettings(Table, frozen=True, kw_only=True):
    """How often a faulty answer is asked for anew: `max_attempts` answers at most, and fewer when one rule rejects so many of them.

    The model is told what is wrong, or with `retry` only asked again. What is spent without an answer is refused.
    """

    max_attempts: Answers = 3
    max_failures_per_rule: Answers | None = None
    on_violation: Literal["retry_with_validation_feedback", "retry"] = "retry_with_validation_feedback"
    on_exhausted: Literal["block"] = "block"


class StructuredOutputSettings(Table, frozen=True, kw_only=True):
    """The form of a model's answers. With `schemas`, JSON Schemas by name, every answer is JSON that one of them accepts.

    `response_format` says what becomes of the form that a request asks for: it is held to where the request says `strict` (a JSON object
    always is), always, or left to the provider. `tool_arguments` says so of the calls to the tools that a request offers.
    """

    schemas: Schemas | None = None
    semantic_rules: tuple[NumberRuleSettings | TextRuleSettings, ...] = ()
    guard_loop: GuardLoopSettings = GuardLoopSettings()
    response_format: Literal["pass_on", "strict", "enforce"] = "strict"
    tool_arguments: Literal["pass_on", "strict", "enforce"] = "pass_on"


class RedactionSettings(Table, frozen=True, kw_only=True):
    """What captured content must not have, beside what is known as a secret: a text that it `contains`, or what matches a `regex`.

    `[redacted:<id>]` takes its place.
    """

    id: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
            description="an id: 1 to 64 small letters, digits, dots, underscores and hyphens",
        ),
    ]
    contains: Text | None = None
    regex: Text | None = None


class ModelSettings(Table, frozen=True, kw_only=True):
    """A synthetic model: a stable public name and the route graph behind it.

    Without `version` the version is a hash of the content; without `route_root` a lone selector is the root, and a model
    without selectors dispatches over all targets. With `capture = "full_session"` receipts have what was asked and answered, without
    secrets.
    """

    id: PlainId
    version: Version | None = None
    description: str = ""
    route_root: Text | None = None
    access: AccessSettings = AccessSettings()
    reveal: Literal["model", "target"] = "model"
    max_attempts: Annotated[int, Meta(ge=1, le=100, description="a number of upstream calls, 1 to 100")] = 4
    dispatchers: tuple[SelectorSettings, ...] = ()
    cascades: tuple[SelectorSettings, ...] = ()
    alloys: tuple[AlloySettings, ...] = ()
    guards: tuple[GuardSettings, ...] = ()
    aliases: tuple[AliasSettings, ...] = ()
    governance: tuple[RouteRuleSettings, ...] = ()
    stream_rules: tuple[StreamRuleSettings, ...] = ()
    stream_policy: StreamPolicySettings = StreamPolicySettings()
    structured_output: StructuredOutputSettings = StructuredOutputSettings()
    capture: Capture = "metadata"
    redaction: tuple[RedactionSettings, ...] = ()


class Settings(Table, frozen=True, kw_only=True):
    """A whole configuration."""

    server: ServerSettings = ServerSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    storage: StorageSettings = StorageSettings()
    include: IncludeSettings = IncludeSettings()
    providers: tuple[ProviderSettings, ...] = ()
    targets: tuple[TargetSettings, ...] = ()
    models: tuple[ModelSettings, ...] = ()
    sinks: tuple[SinkSettings, ...] = ()


class IncludedFile(Table, frozen=True, kw_only=True):
    """A file named by `[include]`: `[[models]]` tables and nothing else."""

    models: tuple[ModelSettings, ...] = ()

"""The tables of `docs/reference/configuration.md`: keys, types and defaults from the settings' types, meanings from here.

    python -m tests.docs.configuration_tables

writes them anew between the page's markers. A key without a meaning, or a meaning without a key, is an error: the page
cannot fall behind the code.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from tests.docs.pages import ROOT
from wardwright.config import settings as format_
from wardwright.config import sinks
from wardwright.planner.attempts import RetryPolicy
from wardwright.planner.breaker import BreakerPolicy

PAGE = ROOT / "docs" / "reference" / "configuration.md"


class Table(NamedTuple):
    """A table of the file: its heading on the page, where its meanings stand, the type that reads it."""

    heading: str
    place: str
    type: type[msgspec.Struct]


TABLES = (
    Table("`[server]`", "server", format_.ServerSettings),
    Table("`[runtime]`", "runtime", format_.RuntimeSettings),
    Table("`[storage]`", "storage", format_.StorageSettings),
    Table("`retention` of `[storage]`", "retention", format_.RetentionSettings),
    Table("`[include]`", "include", format_.IncludeSettings),
    Table('`[[providers]]`, kind = "openai-compatible"', "providers", format_.OpenAICompatibleSettings),
    Table('`[[providers]]`, kind = "anthropic"', "providers", format_.AnthropicSettings),
    Table('`[[providers]]`, kind = "ollama"', "providers", format_.OllamaSettings),
    Table('`[[providers]]`, kind = "llama-cpp"', "providers", format_.LlamaCppSettings),
    Table('`[[providers]]`, kind = "canned"', "providers", format_.CannedSettings),
    Table("`timeouts` of a provider", "timeouts", format_.Timeouts),
    Table("`retry` of a provider", "retry", RetryPolicy),
    Table("`breaker` of a provider", "breaker", BreakerPolicy),
    Table("`[[targets]]`", "targets", format_.TargetSettings),
    Table("`price` of a target", "price", format_.PriceSettings),
    Table("`[[models]]`", "models", format_.ModelSettings),
    Table("`access` of a model", "access", format_.AccessSettings),
    Table('`[[models.governance]]`, kind = "route_gate"', "governance", format_.RouteRuleSettings),
    Table("`[[models.stream_rules]]`", "stream_rules", format_.StreamRuleSettings),
    Table("`stream_policy` of a model", "stream_policy", format_.StreamPolicySettings),
    Table("`[[models.redaction]]`", "redaction", format_.RedactionSettings),
    Table("`structured_output` of a model", "structured_output", format_.StructuredOutputSettings),
    Table(
        '`semantic_rules` of `structured_output`, kind = "json_path_number"', "semantic_rules", format_.NumberRuleSettings
    ),
    Table(
        '`semantic_rules` of `structured_output`, kind = "json_path_string_not_contains"',
        "semantic_rules",
        format_.TextRuleSettings,
    ),
    Table("`guard_loop` of `structured_output`", "guard_loop", format_.GuardLoopSettings),
    Table("`[[models.dispatchers]]` and `[[models.cascades]]`", "selectors", format_.SelectorSettings),
    Table("`[[models.alloys]]`", "alloys", format_.AlloySettings),
    Table("`constituents` of an alloy", "constituents", format_.ConstituentSettings),
    Table("`[[models.guards]]`", "guards", format_.GuardSettings),
    Table("`require` of a guard", "require", format_.RequirementSettings),
    Table("`[[models.aliases]]`", "aliases", format_.AliasSettings),
    Table('`[[sinks]]`, kind = "jsonl"', "sinks", sinks.JsonlSinkSettings),
    Table('`[[sinks]]`, kind = "opentelemetry"', "sinks", sinks.OpenTelemetrySinkSettings),
    Table('`[[sinks]]`, kind = "nats"', "sinks", sinks.NatsSinkSettings),
    Table('`[[sinks]]`, kind = "webhook"', "sinks", sinks.WebhookSinkSettings),
    Table('`[[sinks]]`, kind = "kafka"', "sinks", sinks.KafkaSinkSettings),
    Table('`[[sinks]]`, kind = "parquet"', "sinks", sinks.ParquetSinkSettings),
    Table('`[[sinks]]`, kind = "search"', "sinks", sinks.SearchSinkSettings),
    Table("`retry` of a sink", "sink_retry", sinks.SinkRetry),
)

MEANINGS: Mapping[str, str] = {
    "server.bind": "Where to listen. Beyond loopback only with an admin token. Port 0 takes a free one. `WARDWRIGHT_BIND` wins.",
    "server.admin_token_env": "The variable that holds the admin token. Where it is empty, protected endpoints answer this machine alone.",
    "server.max_body_bytes": "The largest request body; a larger one is refused with `request_too_large`.",
    "server.stall_seconds": "How long a client may stall: send no more of its request, or take no more of its answer. "
    "Then [its connection is cut](../explanation/slow-clients.md).",
    "server.ping_seconds": "A stream that has begun and has nothing to say has a comment at least as often, so that nobody on the way takes it for dead. 0: none.",
    "server.drain_seconds": "How long an orderly stop lets live requests finish before it cuts them.",
    "runtime.backend": "The event loop. asyncio runs on uvloop where there is one.",
    "storage.kind": "What receipts and decisions are kept in: `file`, logs that are text; `sqlite`, a database with indexes; `postgres`, a [database](../how-to/keep-receipts-in-postgres.md) that daemons share; `memory`, which forgets them when the daemon stops.",
    "storage.path": "The data folder: receipts in `receipts/` or `sqlite/`, pulled models in `weights/`. `WARDWRIGHT_DATA_DIR` wins.",
    "storage.url_env": "The variable that has the URL of the `postgres` database, such as `postgresql://user:password@host:5432/database`. No message shows it.",
    "storage.schema": "The schema of that database in which everything is. It is made where there is none.",
    "storage.retention": "How long things are kept. See below.",
    "retention.content_days": "For how many days the content of receipts is kept, where there is any; absent: for as long as the receipt. See "
    "[how to keep and erase content](../how-to/keep-and-erase-content.md).",
    "retention.events_days": "For how many days a closed receipt says what each attempt did; then its events between opening and closing "
    "[fade](receipt.md#what-fades). Absent: for as long as the receipt.",
    "retention.receipts_days": "Receipts are forgotten when they are older than this: they are in no list any more, nor is what a session came to "
    "by them. Their space on disk is given back when everything around them is as old. Without it they are kept for good.",
    "storage.durability": "`strict`: an answer ends after its receipt is on disk. `batched`: after it is written; it is on disk within 100 ms of more traffic. "
    "`none`: after it is written. See [what a crash loses](../explanation/what-a-crash-loses.md).",
    "include.models": "Files with `[[models]]` tables and nothing else: paths or globs, relative to this file.",
    "providers.kind": "What stands behind the provider.",
    "providers.id": "Its name, for targets, receipts and the supervision tree.",
    "providers.max_concurrency": "Calls to it at a time. More wait for [their turn](../synthetic-models.md#health).",
    "providers.timeouts": "See [timeouts](#timeouts-of-a-provider).",
    "providers.retry": "See [retry](#retry-of-a-provider).",
    "providers.breaker": "See [breaker](#breaker-of-a-provider).",
    "providers.base_url": "What comes before `/chat/completions`, version path included; of an Ollama, what comes before `/api/chat`; of Anthropic's API, what comes before `/v1/messages`. "
    "No user name, no query.",
    "providers.credential_env": "The variable that holds the key. Read at every call.",
    "providers.credential_file": "The file that holds the key, instead of a variable. Read at every call, so that a rotated key needs no restart.",
    "providers.prefill": "How the server is told to go on from the last message, for targets that declare `prefill`: by vLLM's two fields in the body, which most others ignore; by `prefix` on the message (Mistral, DeepSeek); by the message alone, for servers that refuse fields they do not know.",
    "providers.default_max_tokens": "The limit on an answer for which the caller sets none. The API insists on one; an answer that reaches it ends with `length`.",
    "providers.context_window": "The context window its server is started with.",
    "providers.weights": "Pulled weights by name: `smollm2`. Either this or `model_path`.",
    "providers.model_path": "A GGUF file of your own. Either this or `weights`.",
    "providers.threads": "Threads for computing; absent: half of the machine's cores.",
    "providers.outputs": "The answers, taken in turn, whatever is asked.",
    "providers.chunk_delay_ms": "A pause before each chunk of a stream but the first, and before a whole answer.",
    "timeouts.connect": "Name look-up, TCP, TLS. Also how long a request waits for a permit while it could go elsewhere.",
    "timeouts.first_token": "A stream's first content.",
    "timeouts.idle": "A stream's silence after that. Time that a slow client takes does not count.",
    "timeouts.total": "The whole call. That of the first target asked also bounds the whole request, all attempts together. Of a whole answer only this and `connect` "
    "count, and while there is a fallback its call has half of the time that is left.",
    "retry.attempts": "Calls to one target, the first included.",
    "retry.base_ms": "A wait is drawn between zero and this, doubled with every attempt.",
    "retry.max_ms": "The longest such wait.",
    "retry.max_wait_ms": "A provider's `Retry-After` is waited for when it is at most this; a longer one sends the request on to the next target.",
    "breaker.failures": "So many failures within `window_s`, with no more answers between them, and the provider is left alone. Refused credentials are "
    "enough at once.",
    "breaker.window_s": "How close together they have to be, in seconds.",
    "breaker.open_s": "How long it is left alone, in seconds. Then one call finds out; [more](../synthetic-models.md#health).",
    "targets.id": "Its name, for selectors and receipts. By custom `provider/model`.",
    "targets.provider": "The provider that serves it.",
    "targets.context_window": "Tokens of prompt and answer together. At most its `llama-cpp` provider's.",
    "targets.upstream_model": "What the provider calls it; absent: the id, without `<provider>/` in front.",
    "targets.capabilities": "What it can serve; absent: everything but `prefill`. A request that needs another is not sent here. With `prefill` it can be given the beginning of an answer to go on from.",
    "targets.price": "See [price](#price-of-a-target). What receipts and budgets reckon with.",
    "targets.tags": "Words of your own, for guards that ask for `target_tags`.",
    "targets.history": "`private` where what it writes into a conversation (signed thinking, encrypted reasoning) is of no use to another target: "
    "an alloy with such a constituent keeps a session where it began.",
    "targets.tokenizer": "The vocabulary of its model. Where the estimate comes within a fifth of `context_window`, the prompt is counted by it.",
    "price.input": "Prompt tokens.",
    "price.output": "Answer tokens.",
    "price.cached_input": "Prompt tokens from the provider's cache.",
    "models.id": "The public name. Callers may write `wardwright/` in front.",
    "models.version": "A label for this version, which names this content for good; absent: a hash of the content is its name.",
    "models.description": "For lists.",
    "models.route_root": "The selector or target where routing begins; absent: the only selector, or all targets.",
    "models.access": "See [access](#access-of-a-model).",
    "models.reveal": "What the answer's `model` field says: the name that was asked for, or the id of the target that answered.",
    "models.max_attempts": "Upstream calls for one request, all targets and retries together.",
    "models.dispatchers": "See [selectors](#modelsdispatchers-and-modelscascades).",
    "models.cascades": "See [selectors](#modelsdispatchers-and-modelscascades).",
    "models.alloys": "See [alloys](#modelsalloys).",
    "models.guards": "See [guards](#modelsguards).",
    "models.aliases": "See [aliases](#modelsaliases).",
    "models.governance": "Rules over the request's text. See [rules](#modelsgovernance-kind--route_gate).",
    "governance.kind": "What sort of rule it is.",
    "governance.id": "Its name within the model, for receipts.",
    "governance.action": "What it demands. `reroute` is another name of `switch_model`.",
    "governance.contains": "Fires on a text that has this, as written. Without it and without `regex` the rule fires on every request.",
    "governance.regex": "Fires on a text that this matches anywhere. Linear time whatever the pattern: no back-references, no look-around. `(?i)` ignores case.",
    "governance.allowed_targets": "What `restrict_routes` leaves: targets by id, a provider's by its id, or all whose ids begin with an entry and a slash. "
    "Several rules leave what each of them leaves; where that is nothing the request is refused.",
    "governance.target_model": "The one target that `switch_model` leads to.",
    "governance.allow_fallback": "Whether the route graph decides when that target cannot serve.",
    "governance.message": "Why, for the receipt.",
    "models.stream_rules": "Rules over what the model answers, before it is released. See [stream rules](#modelsstream_rules).",
    "models.stream_policy": "See [stream policy](#stream_policy-of-a-model).",
    "models.capture": "What the receipts of its requests have of their content: nothing (`metadata`), or what was asked and what of the answer was "
    "released, without secrets (`full_session`). See [how to keep and erase content](../how-to/keep-and-erase-content.md).",
    "models.redaction": "What captured content must not have, beside what is known as a secret. See [redaction](#modelsredaction).",
    "redaction.id": "Its name: `[redacted:<id>]` takes the place of what is found.",
    "redaction.contains": "A text that must not be there, as written. Either this or `regex`.",
    "redaction.regex": "What it matches must not be there. A pattern means what it means in stream rules, in linear time.",
    "models.structured_output": "The form of its answers. See [structured output](#structured_output-of-a-model).",
    "structured_output.schemas": "JSON Schemas by name; one of them, in their order, has to accept every answer. "
    "See [answers with a form](../explanation/answers-with-a-form.md).",
    "structured_output.semantic_rules": "What else holds of an answer that a schema has accepted, in this order.",
    "structured_output.guard_loop": "What follows a faulty answer. See [guard loop](#guard_loop-of-structured_output).",
    "structured_output.response_format": "What becomes of the form that a request asks for. `strict`: a JSON object, and a schema that is "
    "strict, is enforced. `enforce`: any schema is. `pass_on`: the provider is left to it.",
    "structured_output.tool_arguments": "The same for the parameters of the tools that a request offers; with `enforce` no other tool may be "
    "called.",
    "semantic_rules.kind": "What is looked at: a number that must be there and within bounds, or a string, if there is one.",
    "semantic_rules.id": "Its name within the model, for receipts.",
    "semantic_rules.path": "Where in the answer, as a JSON pointer; empty for the whole.",
    "semantic_rules.gte": "At least. One of the four bounds is needed.",
    "semantic_rules.gt": "More than.",
    "semantic_rules.lte": "At most.",
    "semantic_rules.lt": "Less than.",
    "semantic_rules.pattern": "The text that may not be in it, whatever the case of either.",
    "guard_loop.max_attempts": "How many answers are taken at most. The model's `max_attempts` bounds all upstream calls together.",
    "guard_loop.max_failures_per_rule": "How many answers one rule may reject; absent: as many as `max_attempts`.",
    "guard_loop.on_violation": "Whether the model is told what is wrong, in a system message behind all others, or is only asked again.",
    "guard_loop.on_exhausted": "What becomes of a request without a good answer: it is refused.",
    "stream_rules.id": "Its name within the model, for receipts.",
    "stream_rules.action": "What becomes of a match. `annotate`: it is told in the receipt. `rewrite`: `replacement` takes its place. `drop`: nothing does. "
    "`block`: the answer is refused. `retry`: it is asked for again; with a reminder, or at another target (`escalate`).",
    "stream_rules.on": "What it reads: the answer's text, its reasoning, the arguments of tool calls, or `any` of these.",
    "stream_rules.contains": "Fires on a text that has this, as written. Either this or `regex`.",
    "stream_rules.regex": "Fires on a text that has a match of this. Linear time whatever the pattern; what a pattern means is told "
    "[here](../explanation/streams-that-are-governed.md#what-a-pattern-means).",
    "stream_rules.replacement": "What `rewrite` puts in the place of a match; absent: `[redacted]`.",
    "stream_rules.reminder": "What `retry_with_reminder` says to the model, as a system message behind all others.",
    "stream_rules.target": "Whom `escalate` asks: a target of the model's route graph, if the request's route allows it.",
    "stream_rules.max_retries": "How often the rule may ask again within one request; absent: once. `max_attempts` bounds all upstream calls together.",
    "stream_rules.once_per": "Once it has fired, the rule is left out for the rest of the request or of the caller's session: it steers, and guards no longer. "
    "Absent: it always holds.",
    "stream_rules.shadow": "Whether the rule is only observed: its matches are told in the receipt and nothing else happens.",
    "stream_rules.horizon_bytes": "How long a match of a pattern is reckoned with that has no longest one. What is longer may be missed.",
    "stream_rules.max_hold_ms": "How long any text may be held while this rule is in force.",
    "stream_policy.mode": "`horizon`: text leaves unless it may still become part of a match. `semantic_boundary`: in whole sentences, lines, code blocks, JSON values "
    "and tool calls. `full_buffer`: at the end. `pass_through`: at once, with rules that only observe.",
    "stream_policy.on_hold_exceeded": "What becomes of text that the mode has held for `max_hold_ms` (up to a boundary): `closed` ends the answer, `open` lets it leave.",
    "stream_rules.on_hold_exceeded": "What becomes of text that has been held for `max_hold_ms`: `closed` ends the answer; `open` lets leave what only such rules hold.",
    "stream_policy.max_hold_bytes": "How much of a provider's stream may be held of one answer, in bytes as it sent them, chunks and all; then the answer ends with `stream_policy_hold_exceeded`. It bounds what the modes `full_buffer` and `semantic_boundary` hold, and tool calls.",
    "stream_policy.max_hold_ms": "How long any text may be held; then the answer ends with `stream_policy_hold_exceeded`. Tool calls, which are held whole, do not "
    "count.",
    "access.requires_api_key": "Whether callers must show a key of this model's own, made with `wardwright keys create`.",
    "access.unkeyed": "`internal`: the model is not listed, and calling it is refused with `model_internal`; it serves other models.",
    "selectors.id": "Its name within the model.",
    "selectors.models": "Targets and selectors of the same model by id, other models by `wardwright/<id>`.",
    "selectors.sticky": "`session`: a session stays on the target that served it while that can serve. Absent: every request is decided anew.",
    "selectors.on_overflow": "What becomes of a request that fits nowhere in the whole graph: it is refused with `context_length_exceeded`, or sent "
    "to the largest window here all the same, which the receipt says.",
    "selectors.resume": "With it the next target goes on with a stream that broke after a part of it had reached the client; absent: the client gets an error.",
    "selectors.on_content_filter": "What becomes of a provider's refusal of the content: it is passed on to the client, or the next target is asked.",
    "alloys.id": "Its name within the model.",
    "alloys.constituents": "See [constituents](#constituents-of-an-alloy).",
    "alloys.strategy": "Who comes first. `round_robin`: each in turn, by the session's turn. `weighted`: drawn for every call. `deterministic_all`: always the "
    "declared order.",
    "alloys.partial_context": "Whether constituents too small for a request are left out, instead of all of them.",
    "alloys.min_context_window": "The window that all have in common; absent: that of the smallest.",
    "alloys.sticky": "As of a dispatcher.",
    "alloys.on_overflow": "As of a dispatcher.",
    "alloys.on_content_filter": "As of a dispatcher.",
    "alloys.resume": "As of a dispatcher.",
    "constituents.model": "A target, selector or model.",
    "constituents.weight": "Its share of weighted draws.",
    "guards.id": "Its name within the model.",
    "guards.require": "See [require](#require-of-a-guard).",
    "guards.model": "Where requests go that it lets pass: a target, selector or model.",
    "guards.otherwise": "Where the others go; absent: nowhere, and the targets behind it are skipped as `guard_denied`.",
    "require.tenant_id": "The caller's tenant is one of these. Callers may say what they like, unless a key of theirs is bound to it.",
    "require.application_id": "The caller's application is one of these.",
    "require.consuming_agent_id": "The caller's agent is one of these.",
    "require.consuming_user_id": "The caller's user is one of these.",
    "require.tags": "The caller bears one of these tags.",
    "require.max_usd_per_day": "Requests for the model have cost less than this today (a day of UTC) at the targets behind it, by their declared prices.",
    "require.target_tags": "Only targets behind it that bear one of these tags are used.",
    "aliases.id": "Its name within the model.",
    "aliases.model": "What it stands for: a target, selector or model.",
    "sinks.kind": "What stands behind the sink.",
    "sinks.id": "Its name, under which it keeps its place in the log. Another id begins anew.",
    "sinks.start_at": "Where a sink begins that has no place yet: with what is recorded from `now` on, or at the `start` of what the log still has.",
    "sinks.on_full": "What is done when it is more than `max_lag` behind. `block`: nothing, it catches up when it can. `drop`: the oldest are passed over and counted. "
    "`dead_letter`: the oldest become dead letters, which can be sent again. `fail_closed`: requests are refused until it has caught up.",
    "sinks.max_lag": "How many entries of the log it may be behind. A request makes three or more.",
    "sinks.stale_after": "How many seconds its oldest record may wait before the sink is called stale.",
    "sinks.batch": "How many records are sent together at most.",
    "sinks.linger_ms": "How long it waits for more after something new, so that batches form.",
    "sinks.retry": "See [retry](#retry-of-a-sink).",
    "sinks.path": "Of `jsonl` the file, which is made with its folder where there is none, and may be moved away at any time: another one is begun then. Of `parquet` the folder.",
    "sinks.unit": "What is sent: `receipts`, each whole when it is closed, or `events`, every entry of the log as it is stored.",
    "sinks.rotate_bytes": "The size at which the file is put aside, as `<name>.000001` and so on; absent: never.",
    "sinks.url": "Where the far side is: an http or https URL without credentials. Of `opentelemetry` that of a receiver of OTLP over HTTP, without `/v1/traces`.",
    "sinks.headers_env": "Headers that are sent along, each with the name of the environment variable that holds its value.",
    "sinks.resource": "What every trace and metric says of its origin, beside `service.name` (`wardwright`) and `service.version`.",
    "sinks.metrics": "Whether metrics are sent as well as traces.",
    "sinks.servers": "The servers of a cluster, any of which will do. With `tls://` nothing is sent but over TLS.",
    "sinks.stream": "The stream of JetStream.",
    "sinks.subject": "The subject of each message.",
    "sinks.create_stream": "Whether the stream is made where there is none. One that is there is left as it is, and must take the subject.",
    "sinks.duplicate_window": "For how many seconds a stream that is made here knows a message again.",
    "sinks.token_env": "The environment variable with the token that the servers are shown.",
    "sinks.user_env": "The environment variable with the name that the servers are shown.",
    "sinks.password_env": "The environment variable with the password that belongs to it.",
    "sinks.nkey_env": "The environment variable with the seed of an nkey, by which the servers know us: it signs, and is never sent.",
    "sinks.credentials_file": "The file that a user of the servers signs in with, as `nsc` makes it (`.creds`), or with the seed of an nkey alone. Read like a certificate.",
    "sinks.tls_first": "Whether the servers wait for TLS before they say a word (`handshake_first` in their configuration).",
    "sinks.ca_file": "A file in PEM with the authorities whose certificates are trusted; absent: those of the system. Only with TLS. "
    "This and the next two are read when the sink begins and after every failure, so that a renewed certificate needs no restart.",
    "sinks.certificate_file": "Our certificate in PEM, for a far side that asks for one.",
    "sinks.key_file": "Its key in PEM; absent: in the file of the certificate.",
    "sinks.key_password_env": "The environment variable with the password that the key is encrypted with; absent: it is not.",
    "sinks.brokers": "Brokers of the cluster, by which the others are found.",
    "sinks.topic": "The topic. It must be there, or be made by the brokers when it is asked for.",
    "sinks.tls": "Whether brokers are spoken to over TLS.",
    "sinks.sasl_mechanism": "How name and password are shown to brokers; absent: not at all.",
    "sinks.max_message_bytes": "The largest message, which must not be more than the topic takes. What is larger is refused.",
    "sinks.rows_per_file": "How many rows a file has at most, but for those of one batch.",
    "sinks.dialect": "How the engine is spoken to: `opensearch` by its bulk API, which Elasticsearch has too, `meilisearch` by tasks.",
    "sinks.index": "The index. The engine makes it where there is none, if it may.",
    "sinks.timeout": "How many seconds the far side may take to answer.",
    "sinks.secret_env": "The variable that holds the secret to sign with, or several with spaces between them while they are changed; one that begins with "
    "`whsec_` is base64. Absent: nothing is signed.",
    "sink_retry.base_ms": "After a failure the sink is left alone for a time drawn between zero and this, doubled with every further one.",
    "sink_retry.max_ms": "The longest such time.",
}


def render_tables() -> str:
    """Render every table of the format as Markdown.

    Raises: KeyError for a key without a meaning. ValueError for a meaning without a key.
    """
    used = {f"{table.place}.{key}" for table in TABLES for key, *_ in _keys(table.type)}
    if used != set(MEANINGS):
        raise ValueError(f"keys without a meaning, or meanings without a key: {sorted(used ^ set(MEANINGS))}")
    return "\n".join(line for table in TABLES for line in _table(table))


def current_page(page: str) -> str:
    """The page with its tables as they should be."""
    begin, end = "<!-- tables: begin -->", "<!-- tables: end -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{render_tables()}\n{end}{after}"


def _keys(struct: type[msgspec.Struct]) -> Iterator[tuple[str, str, str]]:
    """Each key of a table with the values it takes and its default."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    if info.tag_field is not None:
        yield info.tag_field, f"`{_toml(info.tag)}`", "required"
    for field in info.fields:
        yield field.encode_name, _kind(field.type), _default(field)


def _table(table: Table) -> Iterator[str]:
    yield f"### {table.heading}\n"
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    for key, kind, default in _keys(table.type):
        cells = (f"`{key}`", kind, default, MEANINGS[f"{table.place}.{key}"])
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _kind(info: inspect.Type) -> str:
    """Say what values a key takes: the words of its message where it has some, those of its type where not."""
    if isinstance(info, inspect.Metadata):
        described = (info.extra_json_schema or {}).get("description")
        return re.sub(r"^(an?|the) ", "", str(described)) if described else _kind(info.type)
    match info:
        case inspect.UnionType(types=types):
            return _kind(next(member for member in types if not isinstance(member, inspect.NoneType)))
        case inspect.LiteralType(values=values):
            return ", ".join(f"`{_toml(value)}`" for value in values)
        case inspect.VarTupleType(item_type=inspect.LiteralType() as item):
            return f"list of {_kind(item)}"
        case inspect.VarTupleType(item_type=item):
            return "list of tables" if isinstance(item, inspect.StructType | inspect.UnionType) else "list of texts"
        case inspect.StructType():
            return "table"
        case inspect.StrType():
            return "text"
        case inspect.FloatType():
            return "number"
        case inspect.BoolType():
            return "true or false"
        case _:
            raise TypeError(f"no words for {info}")


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    default: Any = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
    if default is None or isinstance(default, msgspec.Struct):
        return "absent" if default is None else "see there"
    return "empty" if default in ((), "", {}) else f"`{_toml(default)}`"


def _toml(value: object) -> str:
    return msgspec.json.encode(value).decode()


if __name__ == "__main__":
    PAGE.write_text(current_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

"""What `[[sinks]]` of a configuration may say: what all kinds of sinks share, and what each asks for beside it."""

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, field

from wardwright.config.values import Seconds, Table, Text, Url, VariableName
from wardwright.domain.sink import OnFull, Unit

SinkId = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$",
        description='an id: 1 to 64 of a-z, 0-9, "_" and "-", beginning with a letter or a digit',
    ),
]
Batch = Annotated[int, Meta(ge=1, le=10_000, description="a number of records, 1 to 10000")]
Entries = Annotated[int, Meta(ge=1, le=10**9, description="a number of entries, 1 or more")]
Milliseconds = Annotated[int, Meta(ge=1, le=3_600_000, description="milliseconds, 1 to 3600000")]
FileBytes = Annotated[int, Meta(ge=4096, le=2**50, description="a number of bytes, 4096 or more")]
HeaderName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$", description="the name of a header: letters, digits and -")
]
Headers = Annotated[
    Mapping[HeaderName, VariableName],
    Meta(description="a table: the name of an environment variable for each header, never its value"),
]
NatsName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_-]{1,255}$", description='the name of a stream: letters, digits, "_" and "-"')
]
NatsSubject = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64}){0,15}$",
        description='a subject: words of letters, digits, "_" and "-", with dots between them',
    ),
]
Broker = Annotated[
    str,
    Meta(
        pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$",
        description="an address such as `127.0.0.1:9092`",
        extra={"private": True},
    ),
]
KafkaTopic = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._-]{1,249}$", description='the name of a topic: letters, digits, ".", "_" and "-"')
]
SearchIndex = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9_-]{0,99}$",
        description='the name of an index: a to z, digits, "_" and "-", beginning with a letter or a digit',
    ),
]
MessageBytes = Annotated[int, Meta(ge=1000, le=1_000_000_000, description="a number of bytes, 1000 or more")]


class SinkRetry(Table, frozen=True, kw_only=True):
    """How long a sink is left alone after a failure: a time drawn between zero and `base_ms`, doubled with each, up to `max_ms`."""

    base_ms: Milliseconds = 500
    max_ms: Milliseconds = 60_000


class SinkBase(Table, frozen=True, kw_only=True, tag_field="kind"):
    """What sinks of every kind share. Each keeps its place in the log under its id.

    A new one begins with what is recorded from `now` on, or at the `start` of what the log still has. `batch` records are sent together
    at most; after new ones there is a pause of `linger_ms`, so that batches form. `max_lag` is how many entries of the log it may be
    behind before `on_full` is done; it is stale when its oldest record has waited for `stale_after`.
    """

    id: SinkId
    start_at: Literal["now", "start"] = "now"
    on_full: OnFull = "block"
    max_lag: Entries = 1_000_000
    stale_after: Seconds = 300
    batch: Batch = 500
    linger_ms: Annotated[int, Meta(ge=0, le=60_000, description="milliseconds, 0 to 60000")] = 200
    retry: SinkRetry = SinkRetry()


class JsonlSinkSettings(SinkBase, frozen=True, kw_only=True, tag="jsonl"):
    """A file of JSON lines. When it has grown to `rotate_bytes`, it is put aside under a number and another one is begun."""

    path: Text
    unit: Unit = "receipts"
    rotate_bytes: FileBytes | None = None


class TlsSinkBase(SinkBase, frozen=True, kw_only=True):
    """What sinks share that speak to a server, which may be over TLS.

    `ca_file` has the authorities that are trusted instead of the system's; `certificate_file` and `key_file` are what is shown to a
    server that asks for a certificate.
    """

    ca_file: Text | None = None
    certificate_file: Text | None = None
    key_file: Text | None = None
    key_password_env: VariableName | None = None


class OpenTelemetrySinkSettings(TlsSinkBase, frozen=True, kw_only=True, tag="opentelemetry"):
    """Traces, and with `metrics` metrics, by OTLP over HTTP to what is at `url`. `headers_env` names the variables that headers are read from."""

    url: Url
    headers_env: Headers = field(default_factory=dict)
    resource: Annotated[Mapping[Text, str], Meta(description="a table of texts")] = {}
    metrics: bool = False
    timeout: Seconds = 10


class NatsSinkSettings(TlsSinkBase, frozen=True, kw_only=True, tag="nats"):
    """Messages of a stream of NATS JetStream, which with `create_stream` is made when it is not there."""

    servers: Annotated[tuple[Url, ...], Meta(min_length=1, description="a list of nats or tls URLs")]
    stream: NatsName = "WARDWRIGHT"
    subject: NatsSubject = "wardwright.receipts"
    unit: Unit = "receipts"
    create_stream: bool = True
    duplicate_window: Seconds = 3600
    token_env: VariableName | None = None
    user_env: VariableName | None = None
    password_env: VariableName | None = None
    nkey_env: VariableName | None = None
    credentials_file: Text | None = None
    tls_first: bool = False
    timeout: Seconds = 10


class WebhookSinkSettings(TlsSinkBase, frozen=True, kw_only=True, tag="webhook"):
    """Batches by POST to `url`, signed with the secret in the variable that `secret_env` names, if it names one."""

    url: Url
    unit: Unit = "receipts"
    secret_env: VariableName | None = None
    headers_env: Headers = field(default_factory=dict)
    timeout: Seconds = 10


class KafkaSinkSettings(TlsSinkBase, frozen=True, kw_only=True, tag="kafka"):
    """Messages of a topic of Kafka, by receipt."""

    brokers: Annotated[
        tuple[Broker, ...], Meta(min_length=1, description="a list of addresses such as `127.0.0.1:9092`")
    ]
    topic: KafkaTopic = "wardwright.receipts"
    unit: Unit = "receipts"
    tls: bool = False
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    user_env: VariableName | None = None
    password_env: VariableName | None = None
    max_message_bytes: MessageBytes = 1_000_000
    timeout: Seconds = 10


class ParquetSinkSettings(SinkBase, frozen=True, kw_only=True, tag="parquet"):
    """Parquet files in a folder, a row for each receipt."""

    path: Text
    rows_per_file: Annotated[int, Meta(ge=1, le=10_000_000, description="a number of rows, 1 or more")] = 100_000


class SearchSinkSettings(TlsSinkBase, frozen=True, kw_only=True, tag="search"):
    """Documents of a search engine, one for each receipt."""

    dialect: Literal["opensearch", "meilisearch"]
    url: Url
    index: SearchIndex = "wardwright-receipts"
    headers_env: Headers = field(default_factory=dict)
    timeout: Seconds = 10


SinkSettings = (
    JsonlSinkSettings
    | WebhookSinkSettings
    | OpenTelemetrySinkSettings
    | NatsSinkSettings
    | KafkaSinkSettings
    | ParquetSinkSettings
    | SearchSinkSettings
)
"""One table of `[[sinks]]`. Its `kind` says which of these it is."""


_FILE_KEYS = ("ca_file", "certificate_file", "key_file", "credentials_file")


def files_of_sink(sink: SinkSettings) -> dict[str, str]:
    """The files that a sink is to read, by the keys that name them."""
    named = {key: getattr(sink, key, None) for key in _FILE_KEYS}
    return {key: path for key, path in named.items() if path is not None}

"""The sinks that a configuration names: the one place that knows every kind."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wardwright.config.load import Loaded
from wardwright.config.problems import ConfigError, Problem
from wardwright.config.sinks import (
    JsonlSinkSettings,
    KafkaSinkSettings,
    NatsSinkSettings,
    OpenTelemetrySinkSettings,
    ParquetSinkSettings,
    SearchSinkSettings,
    SinkBase,
    TlsSinkBase,
    WebhookSinkSettings,
)
from wardwright.domain.errors import WardwrightError
from wardwright.ports.sink import Sink
from wardwright.sinks.tls import TlsFiles

if TYPE_CHECKING:
    from wardwright.sinks.far_side import FarSide


class MissingLibrary(WardwrightError):
    """A kind of sink needs a library that is not installed."""

    code = "cannot_start"


def check_libraries(loaded: Loaded) -> None:
    """See that whatever the sinks need is installed. Raises: ConfigError."""
    problems = []
    for sink in loaded.settings.sinks:
        try:
            sink_of(sink)
        except MissingLibrary as error:
            problems.append(Problem(f"sinks.{sink.id}.kind", error.message))
    if problems:
        raise ConfigError(loaded.source, problems)


def sink_of(settings: SinkBase) -> Sink:
    """Make the sink; nothing is touched yet.

    Raises: MissingLibrary, with what to install.
    """
    match settings:
        case JsonlSinkSettings():
            from wardwright.sinks.jsonl import JsonlSink

            return JsonlSink(Path(settings.path), unit=settings.unit, rotate_bytes=settings.rotate_bytes)
        case OpenTelemetrySinkSettings():
            return _opentelemetry(settings)
        case NatsSinkSettings():
            return _nats(settings)
        case WebhookSinkSettings():
            return _webhook(settings)
        case KafkaSinkSettings():
            return _kafka(settings)
        case ParquetSinkSettings():
            with _library("duckdb", extra="parquet"):
                from wardwright.sinks.parquet import ParquetSink

            return ParquetSink(Path(settings.path), rows_per_file=settings.rows_per_file)
        case SearchSinkSettings():
            return _search(settings)
        case _:
            raise TypeError(f"there is no adapter for a sink of type {type(settings).__name__}")


@contextmanager
def _library(*names: str, extra: str) -> Iterator[None]:
    """Import an adapter, one of whose libraries may be missing. Raises: MissingLibrary."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in names:
            raise
        raise MissingLibrary(
            f"needs the library {name}, which is not installed: pip install 'wardwright[{extra}]'"
        ) from error


def _tls(settings: TlsSinkBase) -> TlsFiles:
    return TlsFiles(settings.ca_file, settings.certificate_file, settings.key_file, settings.key_password_env)


def _far_side(
    settings: WebhookSinkSettings | OpenTelemetrySinkSettings | SearchSinkSettings, *, hides_path: bool = False
) -> "FarSide":
    from wardwright.sinks.far_side import FarSide

    return FarSide(
        settings.url,
        headers_env=settings.headers_env,
        environ=os.environ,
        timeout_s=settings.timeout,
        tls=_tls(settings),
        hides_path=hides_path,
    )


def _webhook(settings: WebhookSinkSettings) -> Sink:
    from wardwright.sinks.webhook import WebhookSink, parse_secrets

    far_side = _far_side(settings, hides_path=True)

    def secrets() -> list[bytes]:
        variable = settings.secret_env
        return [] if variable is None else parse_secrets(os.environ.get(variable, ""), far_side.where)

    return WebhookSink(far_side, unit=settings.unit, secrets=secrets, now=time.time)


def _opentelemetry(settings: OpenTelemetrySinkSettings) -> Sink:
    from wardwright.sinks.opentelemetry import OpenTelemetrySink

    return OpenTelemetrySink(_far_side(settings), resource=settings.resource, metrics=settings.metrics)


def _nats(settings: NatsSinkSettings) -> Sink:
    with _library("nats", "cryptography", extra="nats"):
        from wardwright.sinks.nats import NatsSink, Stream
        from wardwright.sinks.nats_access import Access

    return NatsSink(
        settings.servers,
        Stream(settings.stream, settings.subject, settings.create_stream, settings.duplicate_window),
        unit=settings.unit,
        access=Access(
            token_env=settings.token_env,
            user_env=settings.user_env,
            password_env=settings.password_env,
            nkey_env=settings.nkey_env,
            credentials_file=settings.credentials_file,
            tls=_tls(settings),
            tls_first=settings.tls_first,
        ),
        environ=os.environ,
        timeout_s=settings.timeout,
    )


def _kafka(settings: KafkaSinkSettings) -> Sink:
    with _library("confluent_kafka", extra="kafka"):
        from wardwright.sinks.kafka import Access, KafkaSink

    return KafkaSink(
        settings.brokers,
        settings.topic,
        unit=settings.unit,
        access=Access(
            tls=_tls(settings) if settings.tls else None,
            mechanism=settings.sasl_mechanism,
            user_env=settings.user_env,
            password_env=settings.password_env,
        ),
        environ=os.environ,
        max_message_bytes=settings.max_message_bytes,
        timeout_s=settings.timeout,
    )


def _search(settings: SearchSinkSettings) -> Sink:
    from wardwright.sinks.search import Meilisearch, OpenSearch, SearchSink

    dialect = OpenSearch if settings.dialect == "opensearch" else Meilisearch
    return SearchSink(_far_side(settings), settings.index, dialect(settings.index))

"""What must hold between the keys of `[[sinks]]`, and between its tables."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from wardwright.config.address import url_fault
from wardwright.config.examine import entry_paths
from wardwright.config.problems import Problem, below, repeated_ids, shown
from wardwright.config.sinks import (
    JsonlSinkSettings,
    KafkaSinkSettings,
    NatsSinkSettings,
    OpenTelemetrySinkSettings,
    ParquetSinkSettings,
    SearchSinkSettings,
    SinkSettings,
    TlsSinkBase,
    WebhookSinkSettings,
    files_of_sink,
)


def check_sinks(sinks: Sequence[SinkSettings]) -> Iterator[Problem]:
    """Check that ids are unique, that no two sinks write to one place, and what each kind asks for."""
    names = [sink.id for sink in sinks]
    yield from repeated_ids("sinks", names)
    files: dict[str, str] = {}
    for sink, path in zip(sinks, entry_paths("sinks", names), strict=True):
        match sink:
            case JsonlSinkSettings() | ParquetSinkSettings():
                first = files.setdefault(sink.path, path)
                if first != path:
                    yield Problem(below(path, "path"), f"expected a place of its own, but {first} writes to it too")
            case OpenTelemetrySinkSettings() | WebhookSinkSettings() | SearchSinkSettings():
                fault = url_fault(sink.url, "headers_env") or _signal_fault(sink)
                if fault is not None:
                    yield Problem(below(path, "url"), f"expected an http or https URL {fault}")
            case NatsSinkSettings():
                yield from _check_nats(sink, path)
            case KafkaSinkSettings():
                yield from _check_kafka(sink, path)
        if isinstance(sink, TlsSinkBase):
            yield from _check_tls(sink, path)


def _signal_fault(sink: SinkSettings) -> str | None:
    """Other senders of OTLP are given the URL of a signal; ours would then ask for a path of that path, which no receiver has."""
    if isinstance(sink, OpenTelemetrySinkSettings):
        for signal in ("/v1/traces", "/v1/metrics"):
            if sink.url.rstrip("/").endswith(signal):
                return f"that ends before {signal}, which is added to it"
    return None


def _check_nats(sink: NatsSinkSettings, path: str) -> Iterator[Problem]:
    for index, server in enumerate(sink.servers):
        fault = url_fault(server, "token_env, or user_env and password_env", ("nats", "tls"))
        if fault is not None:
            yield Problem(below(below(path, "servers"), index), f"expected a nats or tls URL {fault}")
    if (sink.user_env is None) != (sink.password_env is None):
        yield Problem(below(path, "user_env"), "expected user_env and password_env together, got one of them")
    ways = [key for key in ("token_env", "user_env", "nkey_env", "credentials_file") if getattr(sink, key) is not None]
    if len(ways) > 1:
        yield Problem(below(path, ways[0]), f"expected one way to be known, got {' and '.join(ways)}")


def _check_kafka(sink: KafkaSinkSettings, path: str) -> Iterator[Problem]:
    shown = (sink.sasl_mechanism, sink.user_env, sink.password_env)
    if None in shown and shown != (None, None, None):
        message = "expected sasl_mechanism, user_env and password_env together, got some of them"
        yield Problem(below(path, "sasl_mechanism"), message)


def _check_tls(sink: TlsSinkBase, path: str) -> Iterator[Problem]:
    """A file that is named is to be of use: nobody is to believe in a check that is not made."""
    for key in ("key_file", "key_password_env"):
        if getattr(sink, key) is not None and sink.certificate_file is None:
            yield Problem(below(path, key), "expected certificate_file beside it")
    missing = _unsecured(sink)
    for key in ("ca_file", "certificate_file", "tls_first"):
        if missing is not None and getattr(sink, key, None):
            yield Problem(below(path, key), f"expected {missing} beside it, since without TLS it is of no use")


def _unsecured(sink: TlsSinkBase) -> str | None:
    """What would have to be there for everything to go over TLS; None when it does."""
    match sink:
        case NatsSinkSettings():
            return None if all(server.startswith("tls:") for server in sink.servers) else "servers with tls URLs"
        case KafkaSinkSettings():
            return None if sink.tls else "tls = true"
        case OpenTelemetrySinkSettings() | WebhookSinkSettings() | SearchSinkSettings():
            return None if sink.url.startswith("https:") else "an https URL"
        case _:
            raise TypeError(f"it is not known how a sink of type {type(sink).__name__} is secured")


def warn_of_missing_secrets(sinks: Sequence[SinkSettings], environ: Mapping[str, str]) -> Iterator[Problem]:
    """Say which variables sinks name that are not set, and which files are not there: each such sink delivers nothing. Reads the file system."""
    for sink in sinks:
        for key in sink.__struct_fields__:
            named = getattr(sink, key) if key.endswith("_env") else None
            for variable in (named,) if isinstance(named, str) else (named or {}).values():
                if not environ.get(variable, "").strip():
                    path = below(below("sinks", sink.id), key)
                    yield Problem(path, f"{variable} is not set, so nothing is delivered to this sink")
        for key, file in files_of_sink(sink).items():
            if not Path(file).is_file():
                path = below(below("sinks", sink.id), key)
                yield Problem(path, f"no file at {shown(file)}, so nothing is delivered to this sink")

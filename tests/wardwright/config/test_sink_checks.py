"""What must hold between the keys of sinks, as a whole configuration that breaks it is told."""

from pathlib import Path

import pytest

from wardwright.config.load import load_config
from wardwright.config.problems import ConfigError
from wardwright.config.sinks import JsonlSinkSettings, OpenTelemetrySinkSettings, SinkSettings, files_of_sink

OTEL = 'id = "traces"\nkind = "opentelemetry"\n'


def load(folder: Path, *tables: str) -> tuple[SinkSettings, ...]:
    path = folder / "wardwright.toml"
    path.write_text("".join(f"[[sinks]]\n{table}\n" for table in tables))
    return load_config(path, {}).settings.sinks


def problems(folder: Path, *tables: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, *tables)
    return [str(problem) for problem in caught.value.problems]


def test_paths_are_made_absolute_and_addresses_are_left(tmp_path: Path) -> None:
    jsonl, otel = load(
        tmp_path, 'id = "file"\nkind = "jsonl"\npath = "out.jsonl"', OTEL + 'url = "http://127.0.0.1:4318"'
    )
    assert isinstance(jsonl, JsonlSinkSettings)
    assert jsonl.path == str(tmp_path / "out.jsonl")
    assert isinstance(otel, OpenTelemetrySinkSettings)
    assert (otel.url, otel.headers_env, otel.metrics) == ("http://127.0.0.1:4318", {}, False)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://me:hush@host", "without user name and password, which belong in headers_env"),
        ("ftp://host", "got something else"),
        ("http://host/?key=hush", "without a query or fragment"),
        ("http://host:4318/v1/traces", "that ends before /v1/traces, which is added to it"),
        ("http://host/otlp/v1/metrics/", "that ends before /v1/metrics, which is added to it"),
    ],
)
def test_an_address_holds_no_secret_and_no_signal(tmp_path: Path, url: str, told: str) -> None:
    (problem,) = problems(tmp_path, OTEL + f'url = "{url}"')
    assert problem.startswith("sinks.traces.url: expected an http or https URL")
    assert told in problem
    assert "hush" not in problem


def test_a_header_names_a_variable_and_not_its_value(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, OTEL + 'url = "http://h"\nheaders_env = { authorization = "Bearer hush" }')
    assert problem.startswith("sinks.traces.headers_env")
    assert "hush" not in problem


def test_two_sinks_share_neither_an_id_nor_a_file(tmp_path: Path) -> None:
    table = 'id = "a"\nkind = "jsonl"\npath = "x"'
    told = problems(tmp_path, table, table)
    assert told == [
        'sinks[1].id: expected an id of its own, but sinks[0] is "a" too',
        "sinks[1].path: expected a place of its own, but sinks.a writes to it too",
    ]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ('servers = ["nats://me:hush@host"]', "servers[0]: expected a nats or tls URL without user name and password"),
        ('servers = ["nats://a", "http://hush"]', "servers[1]: expected a nats or tls URL such as"),
        ("servers = []", "servers"),
        ('servers = ["nats://a"]\nuser_env = "U"', "user_env: expected user_env and password_env together"),
        (
            'servers = ["tls://a"]\nuser_env = "U"\npassword_env = "P"\ntoken_env = "T"',
            "token_env: expected one way to be known, got token_env and user_env",
        ),
        (
            'servers = ["tls://a"]\nnkey_env = "S"\ncredentials_file = "f"',
            "nkey_env: expected one way to be known, got nkey_env and credentials_file",
        ),
        ('servers = ["nats://a"]\ntls_first = true', "tls_first: expected servers with tls URLs beside it"),
        ('servers = ["tls://a"]\nsubject = "a.*"', "subject"),
        ('servers = ["tls://a"]\nstream = "a.b"', "stream"),
    ],
)
def test_what_nats_asks_for(tmp_path: Path, keys: str, told: str) -> None:
    (problem,) = problems(tmp_path, f'id = "n"\nkind = "nats"\n{keys}')
    assert problem.startswith(f"sinks.n.{told}")
    assert "hush" not in problem


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ('brokers = ["me:hush@host:9092"]', "brokers[0]: expected an address such as `127.0.0.1:9092`"),
        ('brokers = ["kafka://a:1"]', "brokers[0]"),
        ("brokers = []", "brokers"),
        ('brokers = ["a:1"]\ntopic = "a b"', "topic"),
        (
            'brokers = ["a:1"]\nsasl_mechanism = "PLAIN"\nuser_env = "U"',
            "sasl_mechanism: expected sasl_mechanism, user_env and password_env together",
        ),
    ],
)
def test_what_kafka_asks_for(tmp_path: Path, keys: str, told: str) -> None:
    (problem,) = problems(tmp_path, f'id = "k"\nkind = "kafka"\n{keys}')
    assert problem.startswith(f"sinks.k.{told}")
    assert "hush" not in problem


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ('dialect = "opensearch"\nurl = "http://me:hush@host"', "url: expected an http or https URL without user name"),
        ('dialect = "solr"\nurl = "http://host"', "dialect"),
        ('dialect = "meilisearch"\nurl = "http://host"\nindex = "A b"', "index"),
    ],
)
def test_what_search_asks_for(tmp_path: Path, keys: str, told: str) -> None:
    (problem,) = problems(tmp_path, f'id = "s"\nkind = "search"\n{keys}')
    assert problem.startswith(f"sinks.s.{told}")
    assert "hush" not in problem


def test_variables_that_are_not_set_are_told(tmp_path: Path) -> None:
    path = tmp_path / "wardwright.toml"
    hook = 'id = "hook"\nkind = "webhook"\nurl = "http://h"\nsecret_env = "SECRET"\n'
    path.write_text(f'[[sinks]]\n{hook}headers_env = {{ authorization = "TOKEN", other = "SET" }}\n')
    told = [str(warning) for warning in load_config(path, {"SET": "x", "TOKEN": " "}).warnings]
    assert [warning for warning in told if warning.startswith("sinks")] == [
        "sinks.hook.secret_env: SECRET is not set, so nothing is delivered to this sink",
        "sinks.hook.headers_env: TOKEN is not set, so nothing is delivered to this sink",
    ]


SECURED = {
    "nats": ('servers = ["tls://a", "nats://b"]', "servers with tls URLs", 'servers = ["tls://a"]'),
    "kafka": ('brokers = ["a:1"]', "tls = true", 'brokers = ["a:1"]\ntls = true'),
    "webhook": ('url = "http://h"', "an https URL", 'url = "https://h"'),
    "opentelemetry": ('url = "http://h"', "an https URL", 'url = "https://h"'),
    "search": ('dialect = "opensearch"\nurl = "http://h"', "an https URL", 'dialect = "opensearch"\nurl = "https://h"'),
}


@pytest.mark.parametrize("kind", SECURED)
def test_a_certificate_is_of_use_with_tls_alone(tmp_path: Path, kind: str) -> None:
    plain, missing, secure = SECURED[kind]
    files = 'ca_file = "ca.pem"\ncertificate_file = "us.pem"\nkey_file = "/keys/us.pem"\n'
    assert problems(tmp_path, f'id = "s"\nkind = "{kind}"\n{files}{plain}') == [
        f"sinks.s.{key}: expected {missing} beside it, since without TLS it is of no use"
        for key in ("ca_file", "certificate_file")
    ]
    (sink,) = load(tmp_path, f'id = "s"\nkind = "{kind}"\n{files}{secure}')
    assert files_of_sink(sink) == {
        "ca_file": str(tmp_path / "ca.pem"),
        "certificate_file": str(tmp_path / "us.pem"),
        "key_file": "/keys/us.pem",
    }


def test_a_key_is_of_use_with_its_certificate_alone(tmp_path: Path) -> None:
    keys = 'key_file = "k"\nkey_password_env = "P"\n'
    assert problems(tmp_path, f'id = "s"\nkind = "webhook"\nurl = "https://h"\n{keys}') == [
        "sinks.s.key_file: expected certificate_file beside it",
        "sinks.s.key_password_env: expected certificate_file beside it",
    ]


def test_files_that_are_not_there_are_told(tmp_path: Path) -> None:
    path = tmp_path / "wardwright.toml"
    path.write_text(
        '[[sinks]]\nid = "n"\nkind = "nats"\nservers = ["tls://a"]\nca_file = "wardwright.toml"\ncredentials_file = "no"\n'
    )
    told = [warning for warning in load_config(path, {}).warnings if warning.path.startswith("sinks")]
    assert [warning.path for warning in told] == ["sinks.n.credentials_file"]
    assert told[0].message.startswith("no file at ")

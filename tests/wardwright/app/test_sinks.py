"""The sinks of a configuration: each kind is made from its settings, touches nothing yet, and says what to install when that is missing."""

import sys
from pathlib import Path

import pytest

from wardwright.app.sinks import MissingLibrary, check_libraries, sink_of
from wardwright.config.load import load_config
from wardwright.config.problems import ConfigError
from wardwright.config.sinks import SinkBase

TABLES = {
    "jsonl": 'path = "out.jsonl"',
    "opentelemetry": 'url = "http://127.0.0.1:4318"',
    "kafka": 'brokers = ["127.0.0.1:9092"]',
    "parquet": 'path = "table"',
    "search": 'dialect = "meilisearch"\nurl = "http://127.0.0.1:7700"',
    "webhook": 'url = "http://127.0.0.1:4711/hook"',
    "nats": 'servers = ["nats://127.0.0.1:4222"]',
}


def settings_of(folder: Path, kind: str) -> SinkBase:
    path = folder / "wardwright.toml"
    path.write_text(f'[[sinks]]\nid = "it"\nkind = "{kind}"\n{TABLES[kind]}\n')
    (sink,) = load_config(path, {}).settings.sinks
    return sink


@pytest.mark.parametrize("kind", TABLES)
def test_each_kind_is_made_from_its_settings(tmp_path: Path, kind: str) -> None:
    made = sink_of(settings_of(tmp_path, kind))
    assert (made.kind, made.unit) == (kind, "receipts")
    assert [one.name for one in tmp_path.iterdir()] == ["wardwright.toml"]


@pytest.mark.parametrize(
    ("kind", "library"),
    [("nats", "nats"), ("nats", "cryptography"), ("kafka", "confluent_kafka"), ("parquet", "duckdb")],
)
def test_a_library_that_is_missing_is_a_problem_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, library: str
) -> None:
    settings = settings_of(tmp_path, kind)
    for module in [
        name for name in sys.modules if name.startswith((f"wardwright.sinks.{kind}", "wardwright.sinks.nkeys"))
    ]:
        monkeypatch.delitem(sys.modules, module)
    for name in {library, *(name for name in sys.modules if name.startswith(f"{library}."))}:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingLibrary, match=rf"pip install 'wardwright\[{kind}\]'"):
        sink_of(settings)
    with pytest.raises(ConfigError) as caught:
        check_libraries(load_config(tmp_path / "wardwright.toml", {}))
    assert [problem.path for problem in caught.value.problems] == ["sinks.it.kind"]

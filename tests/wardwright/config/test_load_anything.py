"""Whatever a file holds, loading it gives settings or a ConfigError: random trees that nearly are configurations, and text."""

import datetime
import string
import tomllib
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wardwright.config.defaults import toml_text
from wardwright.config.load import Loaded, load_config
from wardwright.config.problems import ConfigError

ID_TEXTS = ["local", "local/a", "local/b", "fit", "long", "m", "wardwright/m", "", "a b", "Ü"]
WORDS = [
    "openai-compatible",
    "llama-cpp",
    "canned",
    "ollama",
    "file",
    "memory",
    "sqlite",
    "postgres",
    "trio",
    "http://h/v1",
]
KEYS = [
    "server",
    "runtime",
    "storage",
    "include",
    "providers",
    "targets",
    "models",
    "dispatchers",
    "cascades",
    "id",
    "kind",
    "base_url",
    "credential_env",
    "provider",
    "context_window",
    "capabilities",
    "route_root",
    "bind",
    "path",
    "timeouts",
    "retry",
    "connect",
    "attempts",
    "weights",
    "outputs",
    "price",
    "input",
    "access",
    "unkeyed",
    "sinks",
    "x y",
]

texts = st.sampled_from(ID_TEXTS + WORDS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = (
    texts
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.booleans()
    | st.dates()
    | st.datetimes(timezones=st.none() | st.just(datetime.UTC))
)
keys = st.sampled_from(KEYS) | texts
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5), max_leaves=12
)


odd = st.sampled_from([False] * 19 + [True])


@st.composite
def table(draw: st.DrawFn, /, **fields: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Tables that are mostly right: now and then a key is missing, holds anything at all, or stands beside a stray one."""
    found = {name: draw(anything) if draw(odd) else draw(value) for name, value in fields.items() if not draw(odd)}
    return {**draw(st.dictionaries(keys, anything, max_size=1)), **found} if draw(odd) else found


ids = st.sampled_from(ID_TEXTS)
members = st.lists(st.sampled_from(["local/a", "local/b", "fit", "long"]), min_size=1, max_size=2)
dispatchers = st.lists(table(id=st.just("fit"), models=members), max_size=1)
cascades = st.lists(table(id=st.just("long"), models=members), max_size=1)
local = table(id=st.just("local"), kind=st.just("openai-compatible"), base_url=st.just("http://h/v1"))
strange = table(id=ids, kind=st.sampled_from(WORDS), outputs=st.lists(texts), context_window=st.integers(-1, 90))
target = table(
    id=st.sampled_from(["local/a", "local/b"]), provider=st.just("local"), context_window=st.integers(1, 100)
)
trees = table(
    server=table(bind=st.sampled_from(["127.0.0.1:1"] * 8 + ["0.0.0.0:1", "nope"])),
    storage=table(kind=st.sampled_from(["file", "memory", "sqlite"] * 3 + ["postgres"]), path=texts),
    include=table(models=st.just(["models/*.toml"]) | st.lists(texts, max_size=1)),
    providers=st.builds(list.__add__, local.map(lambda one: [one]), st.just([]) | st.lists(strange, max_size=1)),
    targets=st.lists(target, min_size=1, max_size=2),
    models=st.lists(
        table(id=st.sampled_from(["m", "n"]), route_root=st.just("fit"), dispatchers=dispatchers, cascades=cascades),
        max_size=2,
    ),
)


def render(tree: dict[str, Any]) -> str:
    """Write a tree as TOML text, every value inline."""
    return "".join(f"{toml_text(key)} = {_inline(value)}\n" for key, value in tree.items())


def _inline(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return toml_text(value)
        case dict():
            return "{" + ", ".join(f"{toml_text(key)} = {_inline(inner)}" for key, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_inline, value)) + "]"
        case datetime.datetime() | datetime.date():
            return value.isoformat()
        case float():
            return _number(value)
        case _:
            return str(value)


def _number(value: float) -> str:
    text = repr(value)
    return text if "." in text or "n" in text or "e" not in text else text.replace("e", ".0e")


def load(path: Path) -> Loaded | ConfigError:
    try:
        return load_config(path, {"HOME": str(path.parent)})
    except ConfigError as error:
        return error


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(tree=trees)
def test_no_tree_makes_loading_fail_but_with_problems(tmp_path: Path, tree: dict[str, Any]) -> None:
    path = tmp_path / "wardwright.toml"
    path.write_text(render(tree), encoding="utf-8", newline="")
    tomllib.loads(render(tree))
    found = load(path)
    if isinstance(found, ConfigError):
        assert found.problems
        assert "expected valid TOML" not in found.message
    else:
        assert len(found.definitions) == len(found.settings.models)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.text(st.sampled_from(string.printable + "é\x00"), max_size=60).map(str.encode) | st.binary(max_size=40)
)
def test_no_text_makes_loading_fail_but_with_problems(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wardwright.toml"
    path.write_bytes(content)
    found = load(path)
    assert isinstance(found, Loaded) or found.problems

"""The shape of a tree against the types: each kind of difference, all at once, in the file's order."""

import datetime
from typing import Any

import pytest

from wardwright.config import not_yet
from wardwright.config.examine import entry_paths, examine
from wardwright.config.settings import IncludedFile, OpenAICompatibleSettings, Settings


def problems(tree: dict[str, Any]) -> list[str]:
    return [str(problem) for problem in examine(tree, Settings)[1]]


def provider(**keys: Any) -> dict[str, Any]:
    return {"id": "local", "kind": "openai-compatible", "base_url": "http://127.0.0.1/v1", **keys}


def target(**keys: Any) -> dict[str, Any]:
    return {"id": "local/a", "provider": "local", "context_window": 100, **keys}


def test_an_empty_tree_is_all_defaults() -> None:
    assert examine({}, Settings) == (Settings(), [])


def test_a_right_tree_becomes_settings() -> None:
    tree = {"providers": [provider(timeouts={"connect": 2})], "targets": [target(capabilities=["chat", "tools"])]}
    settings, found = examine(tree, Settings)
    assert found == []
    (local,) = settings.providers
    assert isinstance(local, OpenAICompatibleSettings)
    assert (local.timeouts.connect, local.timeouts.total) == (2.0, 600)
    assert settings.targets[0].capabilities == ("chat", "tools")


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        (
            {"providers": [provider(timeouts={"connect": "fast"})]},
            'providers.local.timeouts.connect: expected a positive number of seconds, got "fast"',
        ),
        (
            {"providers": [provider(timeouts={"connect": 0})]},
            "providers.local.timeouts.connect: expected a positive number of seconds, got 0",
        ),
        (
            {"providers": [provider(timeouts={"idle": float("nan")})]},
            "providers.local.timeouts.idle: expected a positive number of seconds, got nan",
        ),
        (
            {"providers": [provider(timeouts={"idle": float("inf")})]},
            "providers.local.timeouts.idle: expected a positive number of seconds, got inf",
        ),
        (
            {"providers": [provider(timeouts=5)]},
            "providers.local.timeouts: expected a table, got 5",
        ),
        (
            {"providers": [provider(retry={"attempts": True})]},
            "providers.local.retry.attempts: expected a whole number from 1 to 10, got true",
        ),
        (
            {"providers": [provider(kind="smtp")]},
            'providers.local.kind: expected one of "openai-compatible", "anthropic", "ollama", "llama-cpp", "canned", got "smtp"',
        ),
        (
            {"providers": [{"id": "local"}]},
            'providers.local.kind: expected one of "openai-compatible", "anthropic", "ollama", "llama-cpp", "canned", got nothing',
        ),
        ({"providers": ["local"]}, 'providers[0]: expected a table, got "local"'),
        ({"providers": {"id": "x"}}, "providers: expected a list, got a table"),
        (
            {"targets": [target(context_window=1.5)]},
            "targets.local/a.context_window: expected a positive number of tokens, got 1.5",
        ),
        (
            {"targets": [target(context_window=-8)]},
            "targets.local/a.context_window: expected a positive number of tokens, got -8",
        ),
        (
            {"targets": [target(context_window=2**80)]},
            "targets.local/a.context_window: expected a positive number of tokens, got a number beyond 64 bits",
        ),
        (
            {"targets": [{"id": "local/a", "provider": "local"}]},
            "targets.local/a.context_window: expected a positive number of tokens, got nothing",
        ),
        (
            {"targets": [target(capabilities=["chat", "tool"])]},
            (
                'targets.local/a.capabilities[1]: expected one of "chat", "json_schema", "prefill", "reasoning", "tools", "vision", '
                'got "tool"'
            ),
        ),
        (
            {"targets": [target(id="wardwright/a")]},
            (
                "targets.wardwright/a.id: expected an id: 1 to 256 printable ASCII characters, no spaces, "
                'not beginning with "wardwright/", got "wardwright/a"'
            ),
        ),
        (
            {"models": [{"id": "a/b"}]},
            ('models.a/b.id: expected an id: 1 to 256 printable ASCII characters, no spaces, no "/", got "a/b"'),
        ),
        (
            {"models": [{"id": "a\n"}]},
            ('models[0].id: expected an id: 1 to 256 printable ASCII characters, no spaces, no "/", got "a\\n"'),
        ),
        (
            {"models": [{"id": ""}]},
            'models[0].id: expected an id: 1 to 256 printable ASCII characters, no spaces, no "/", got ""',
        ),
        (
            {"models": [{"id": "m", "dispatchers": [{"id": "fit", "models": []}]}]},
            "models.m.dispatchers.fit.models: expected a list of at least one target, selector or model, by id, got an empty list",
        ),
        (
            {"models": [{"id": "m", "cascades": [{"id": "c", "models": ["a", 3]}]}]},
            "models.m.cascades.c.models[1]: expected a text that is not empty, got 3",
        ),
        ({"runtime": {"backend": "twisted"}}, 'runtime.backend: expected one of "asyncio", "trio", got "twisted"'),
        ({"server": {"bind": datetime.date(2026, 1, 1)}}, 'server.bind: expected "host:port", got a date or time'),
        ({"server": {"bnd": "x"}}, 'server.bnd: unknown key, did you mean "bind"?'),
        ({"runtime": {"loop": "x"}}, 'runtime.loop: unknown key, expected "backend"'),
        ({"provider": []}, 'provider: unknown key, did you mean "providers"?'),
        ({"server": {"a\nb": 1}}, 'server."a\\nb": unknown key, expected one of "bind"'),
    ],
)
def test_each_difference_is_said_in_the_one_grammar(tree: dict[str, Any], problem: str) -> None:
    (found,) = problems(tree)
    assert found.startswith(problem)


def test_what_may_be_a_secret_is_never_shown() -> None:
    tree = {
        "server": {"admin_token_env": "sk-admin-secret"},
        "providers": [provider(credential_env="sk-provider-secret", api_key="sk-inline-secret", base_url="")],
    }
    text = "\n".join(problems(tree))
    assert "secret" not in text.replace("never the secret itself", "")
    assert (
        "providers.local.credential_env: expected the name of an environment variable, never the secret itself, "
        "got a text that is not shown here"
    ) in text
    assert "name its environment variable in credential_env" in text


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        ({"policy_cache": []}, "policy_cache"),
        ({"models": [{"id": "m", "sinks": []}]}, "models.m.sinks"),
        ({"models": [{"id": "m", "prompt_transforms": {}}]}, "models.m.prompt_transforms"),
    ],
)
def test_keys_of_later_versions_are_refused_as_such(tree: dict[str, Any], problem: str) -> None:
    assert problems(tree) == [f"{problem}: this key is not supported by this version yet"]


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        (
            {"models": [{"id": "m", "governance": [{"id": "r", "action": "block", "kind": "tool_selector"}]}]},
            'models.m.governance.r.kind: "tool_selector" is not supported by this version yet, expected',
        ),
    ],
)
def test_values_of_later_versions_are_refused_as_such(tree: dict[str, Any], problem: str) -> None:
    (found,) = problems(tree)
    assert found.startswith(problem)


@pytest.mark.parametrize("key", ["url", "dsn", "password"])
def test_a_url_with_a_password_in_it_is_asked_for_by_its_variable(key: str) -> None:
    (found,) = problems({"storage": {"kind": "postgres", key: "postgresql://somebody:unheard-of@db/receipts"}})
    assert found.startswith(f"storage.{key}: unknown key; a URL that has a password is never written here")
    assert "url_env" in found
    assert "unheard-of" not in found


def test_no_key_is_both_supported_and_not_yet() -> None:
    pair = [{"model": "a"}, {"model": "b"}]
    entries: dict[str, dict[str, Any]] = {
        "dispatchers": {"id": "x", "models": ["a"]},
        "cascades": {"id": "x", "models": ["a"]},
        "alloys": {"id": "x", "constituents": pair},
    }
    for kind, keys in not_yet.KEYS.items():
        for key in keys:
            tree: dict[str, Any] = {key: []} if kind == "" else {}
            if kind == "server":
                tree = {kind: {key: 1}}
            elif kind == "providers":
                tree = {"providers": [provider(**{key: 1})]}
            elif kind == "targets":
                tree = {"targets": [target(**{key: 1})]}
            elif kind == "models":
                tree = {"models": [{"id": "m", key: 1}]}
            elif kind == "models.access":
                tree = {"models": [{"id": "m", "access": {key: 1}}]}
            elif kind == "models.guards.require":
                tree = {"models": [{"id": "m", "guards": [{"id": "x", "model": "a", "require": {key: 1}}]}]}
            elif kind.startswith("models."):
                name = kind.removeprefix("models.")
                tree = {"models": [{"id": "m", name: [{**entries[name], key: 1}]}]}
            (found,) = problems(tree)
            assert found.endswith(f"{key}: this key is not supported by this version yet")


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    tree = {
        "targets": [target(context_window="big", colour="red"), {"provider": 7}],
        "server": {"drain_seconds": -1, "bind": 8791},
        "providers": [provider(id="Ü"), provider(timeouts={"total": "x"}, retry={"base_ms": -1})],
    }
    assert [problem.split(": ")[0] for problem in problems(tree)] == [
        "targets.local/a.context_window",
        "targets.local/a.colour",
        "targets[1].provider",
        "targets[1].id",
        "targets[1].context_window",
        "server.drain_seconds",
        "server.bind",
        "providers[0].id",
        "providers.local.timeouts.total",
        "providers.local.retry.base_ms",
    ]


def test_problems_of_an_included_file_name_the_file() -> None:
    _, (found,) = examine({"targets": []}, IncludedFile, "models/a.toml")
    assert str(found) == 'models/a.toml: targets: unknown key, expected "models"'


def test_entries_are_named_by_their_first_readable_id() -> None:
    assert entry_paths("targets", ["a", "a", None, "with space", "local/b"]) == [
        "targets.a",
        "targets[1]",
        "targets[2]",
        "targets[3]",
        "targets.local/b",
    ]

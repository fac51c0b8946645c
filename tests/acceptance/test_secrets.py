"""Words that must go nowhere, planted wherever a secret may come from, and then looked for in everything the daemon puts out.

The upstream does its worst: it quotes the key and the whole request back in every place that an error has.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.acceptance.daemon import Daemon, run_daemon
from tests.acceptance.watching import watching
from tests.support.upstream import Upstream

FROM_VARIABLE = "sk-variable-6f1c0a2e"
FROM_FILE = "sk-file-93b7d4c1"
ADMIN = "admin-token-e80d21f5"
CALLERS_KEY = "sk-caller-0b5e7731"
COOKIE = "cookie-77aa1f0d"
PROMPT = "prompt-word-41c9e3b8"
ARGUMENT = "argument-word-5d0f86a2"
ANSWER_WORD = "quick"  # of the upstream's answer

KEYS = (FROM_VARIABLE, FROM_FILE, ADMIN, CALLERS_KEY, COOKIE)
CONTENT = (PROMPT, ARGUMENT)

BEHAVIOURS = [
    "ok",
    "hang",
    "stall",
    "cut",
    "garbage",
    "html",
    "bad-utf8",
    "error-in-stream",
    *(f"quoting-{how}" for how in ("400", "401", "403", "404", "422", "429", "500", "503", "stream", "html")),
]
MODES = ("unary", "stream")
CASES = list(product(BEHAVIOURS, MODES))
AT_A_TIME = 16
ENVIRONMENT = {"THE_KEY": FROM_VARIABLE, "WARDWRIGHT_ADMIN_TOKEN": ADMIN}


def configuration(url: str, key_file: Path, backend: str) -> str:
    """A model per behaviour and mode, behind two providers of its own with different keys."""
    tables = [f'[runtime]\nbackend = "{backend}"\n']
    for behaviour, mode in CASES:
        for source, named in (
            ("variable", 'credential_env = "THE_KEY"'),
            ("file", f'credential_file = "{key_file}"'),
        ):
            name = f"{behaviour}@{mode}.{source}"
            tables.append(
                f"""
[[providers]]
id = "{name}"
kind = "openai-compatible"
base_url = "{url}"
{named}
timeouts = {{ connect = 1.5, first_token = 0.3, idle = 0.3, total = 1.5 }}
retry = {{ attempts = 1 }}
[[targets]]
id = "{name}/m"
provider = "{name}"
upstream_model = "{name}"
context_window = 8192
"""
            )
        members = ", ".join(f'"{behaviour}@{mode}.{source}/m"' for source in ("variable", "file"))
        tables.append(
            f'[[models]]\nid = "{behaviour}@{mode}"\n[[models.cascades]]\nid = "both"\nmodels = [{members}]\n'
        )
    return "".join(tables)


@pytest.fixture(scope="module")
def config(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory, backend: str) -> str:
    key_file = tmp_path_factory.mktemp("secrets") / "key"
    key_file.write_text(f"{FROM_FILE}\n")
    return configuration(shared_upstream.url, key_file, backend)


@pytest.fixture(scope="module")
def daemon(config: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with run_daemon(tmp_path_factory.mktemp("daemon"), config, environment=ENVIRONMENT) as running:
        yield running


@pytest.fixture(scope="module")
def client(daemon: Daemon) -> Iterator[httpx2.Client]:
    """An operator's: it may see everything."""
    with daemon.client() as client:
        client.headers["x-wardwright-admin-token"] = ADMIN
        yield client


@pytest.fixture(scope="module")
def answers(client: httpx2.Client) -> Mapping[tuple[str, str], httpx2.Response]:
    """What every model answers, by behaviour and mode."""
    return dict(zip(CASES, ask_all(client), strict=True))


def ask(client: httpx2.Client, model: str, mode: str) -> httpx2.Response:
    """A request full of secrets."""
    function = {"name": "look_up", "arguments": json.dumps({"word": ARGUMENT})}
    body = {
        "model": model,
        "stream": mode == "stream",
        "messages": [
            {"role": "user", "content": PROMPT},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "c", "content": PROMPT},
        ],
    }
    headers = {
        "authorization": f"Bearer {CALLERS_KEY}",
        "x-api-key": CALLERS_KEY,
        "api-key": CALLERS_KEY,
        "cookie": f"session={COOKIE}",
        "proxy-authorization": CALLERS_KEY,
        "x-wardwright-session-id": "s1",
    }
    return client.post("/v1/chat/completions", json=body, headers=headers)


def ask_all(client: httpx2.Client) -> list[httpx2.Response]:
    """A request for every case, many at a time."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(lambda case: ask(client, "@".join(case), case[1]), CASES))


@pytest.mark.parametrize(("behaviour", "mode"), CASES)
def test_what_a_client_is_told_holds_no_key(
    answers: Mapping[tuple[str, str], httpx2.Response], behaviour: str, mode: str
) -> None:
    answer = answers[behaviour, mode]

    assert found_in(answer.text, KEYS) == []
    assert found_in(str(answer.headers), KEYS + CONTENT) == []
    if answer.status_code != 200 and answer.json()["error"]["code"] not in ("invalid_request", "content_filter"):
        assert found_in(answer.text, CONTENT) == [], (
            "only what the caller is blamed for is told in the provider's words"
        )


def test_each_provider_is_sent_its_own_key_and_nothing_of_the_callers(
    client: httpx2.Client, shared_upstream: Upstream
) -> None:
    shared_upstream.calls.clear()
    ask(client, "garbage@unary", "unary")
    ask(client, "quoting-500@stream", "stream")

    assert len(shared_upstream.calls) == 4, "each was asked, and then its fallback"
    for call in shared_upstream.calls:
        key = FROM_VARIABLE if call.model.endswith("variable") else FROM_FILE
        assert call.headers["authorization"] == f"Bearer {key}"
        allowed = {"accept", "accept-encoding", "authorization", "content-length", "content-type", "host", "user-agent"}
        assert set(call.headers) == allowed | {"x-request-id"}


@pytest.mark.usefixtures("answers")
def test_no_operator_is_shown_a_key_or_a_word_of_content(client: httpx2.Client, daemon: Daemon) -> None:
    for path in ["wardwright/catalog", *(f"wardwright/providers/ok@unary.{source}" for source in ("variable", "file"))]:
        client.post(f"/admin/runtime/actors/{path}/kill")
    with watching(daemon, token=ADMIN) as watcher:
        for behaviour in ("ok", "quoting-401", "quoting-500", "quoting-stream"):
            ask(client, f"{behaviour}@stream", "stream")
        watcher.wait_for(lambda one: one.types.count("receipt.closed") == 4)

    shown = {**dict(everything_shown(client)), "/admin/events": json.dumps(watcher.events)}
    assert len(shown) > 100
    assert {
        path: words for path, text in shown.items() if (words := found_in(text, KEYS + CONTENT + (ANSWER_WORD,)))
    } == {}
    assert "THE_KEY" not in shown["/admin/providers"], "where a key comes from is told by its kind"


def test_the_log_and_the_disk_hold_none_either(config: str, tmp_path: Path) -> None:
    with run_daemon(tmp_path, config, environment=ENVIRONMENT) as daemon, daemon.client() as client:
        client.headers["x-wardwright-admin-token"] = ADMIN
        ask_all(client)
        client.post(
            "/v1/chat/completions", content=f'{{"model": "{PROMPT}'.encode(), headers={"authorization": CALLERS_KEY}
        )
        client.get(f"/v1/receipts/{CALLERS_KEY}")
        for path in ("wardwright/catalog", "wardwright/providers/ok@unary.file"):
            client.post(f"/admin/runtime/actors/{path}/kill")
        assert daemon.stop() == 0

    everywhere = KEYS + CONTENT + (ANSWER_WORD,)
    assert found_in("".join(daemon.raw_log), everywhere) == []
    files = [file for file in (daemon.folder / "data").rglob("*") if file.is_file()]
    assert any(file.stat().st_size > 10_000 for file in files)
    for file in files:
        assert found_in(file.read_bytes().decode("latin-1"), everywhere) == [], file


def everything_shown(client: httpx2.Client) -> Iterator[tuple[str, str]]:
    """What every endpoint that shows something shows, by path."""
    for path in (
        "/metrics",
        "/livez",
        "/readyz",
        "/v1/models",
        "/admin/runtime",
        "/admin/providers",
        "/admin/storage",
        "/admin/readiness",
    ):
        yield path, client.get(path).text
    page: dict[str, Any] = client.get("/v1/receipts", params={"limit": 500}).json()
    yield "/v1/receipts", json.dumps(page)
    for receipt in page["data"]:
        path = f"/v1/receipts/{receipt['receipt_id']}"
        yield path, client.get(path).text
    for path in paths_of(client.get("/admin/runtime").json()["tree"]):
        yield path, client.get(f"/admin/runtime/actors/{path}").text


def paths_of(node: dict[str, Any]) -> Iterator[str]:
    yield node["path"]
    for child in node["children"]:
        yield from paths_of(child)


def found_in(text: str, words: tuple[str, ...]) -> list[str]:
    """Which of the words stand in a text."""
    return [word for word in words if word in text]

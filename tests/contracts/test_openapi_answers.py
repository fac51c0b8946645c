"""Every answer that `contracts/openapi.yaml` describes and that can be ordered, asked of a running daemon and checked."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.acceptance.daemon import Daemon, run_daemon
from tests.acceptance.watching import watching
from tests.contracts.openapi import COMPONENTS, DOCUMENT, OPERATIONS, check, nodes, resolved
from tests.support.upstream import Upstream

HELLO = [{"role": "user", "content": "hello"}]


@dataclass(frozen=True)
class Exchange:
    """A request to the daemon and the status it must be answered with."""

    method: str
    path: str
    status: int
    code: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: object = None

    @property
    def id(self) -> str:
        told = self.body.get("model") if isinstance(self.body, dict) else None
        parts = (self.method, self.path, str(self.status), self.code, told and str(told), "".join(self.query))
        return " ".join(filter(None, parts))


def chat(model: str, status: int, code: str | None = None, **more: Any) -> Exchange:
    headers = more.pop("headers", {})
    body = {"model": model, "messages": HELLO, **more}
    return Exchange("POST", "/v1/chat/completions", status, code, body=body, headers=headers)


def get(path: str, status: int = 200, code: str | None = None, **more: Any) -> Exchange:
    return Exchange("GET", path, status, code, **more)


ELSEWHERE = {"host": "gateway.example"}
ACTOR = "/admin/runtime/actors/{path}"
MODEL = {"model": "wardwright/ok"}
CHAT = ("POST", "/v1/chat/completions")
KEYS = ("POST", "/admin/model-api-keys")
KEY = "/admin/model-api-keys/{key_id}"
SIMULATE = "/v1/wardwright/simulate"
REPLAY = "/v1/receipts/{receipt_id}/replay"
SUPPOSED = {
    "request": {"estimated_prompt_tokens": 10**8},
    "session": {"turn": 3, "sticky": {"only": "up/ok"}},
    "health": [{"subject": "up", "reason": "rate_limited", "retry_after_s": 2.5}],
    "constraints": {"ok": {"allowed_targets": ["up"]}},
    "seed": 7,
}
PROTECTED_LISTS = (
    "/v1/receipts",
    "/admin/runtime",
    "/admin/providers",
    "/admin/storage",
    "/admin/readiness",
    "/metrics",
)

MODELS = "/admin/wardwright-models"
ONE_MODEL = f"{MODELS}/{{model}}"
ONE_VERSION = f"{ONE_MODEL}/versions/{{version}}"
SPARE = {"model": "spare"}
ONE, TWO = ({**SPARE, "version": name} for name in ("one", "two"))


def artifact(version: str, description: str) -> dict[str, object]:
    return {"version": version, "description": description, "cascades": [{"id": "only", "models": ["up/ok"]}]}


def post(path: str, status: int = 200, code: str | None = None, **more: Any) -> Exchange:
    return Exchange("POST", path, status, code, **more)


def refused_bodies(path: str, values: Mapping[str, str]) -> list[Exchange]:
    """What is wrong with a body, whatever the endpoint makes of a right one."""
    return [
        post(path, 400, "invalid_request", values=values, body=[]),
        post(path, 413, "request_too_large", values=values, body={"x": "x" * 9000}),
        post(path, 415, "unsupported_media_type", values=values, body={}, headers={"content-type": "text/plain"}),
    ]


TEST_CONFIG = "/__test/config"
TINY = {"model_id": "tiny", "targets": [{"model": "tiny/model", "context_window": 8192}]}
TEST_EXCHANGES = [
    post(TEST_CONFIG, body=TINY),
    post(TEST_CONFIG, 400, "invalid_test_config", body={"model_id": "tiny"}),
    post(TEST_CONFIG, 400, "invalid_request", body=[]),
    post(TEST_CONFIG, 403, "protected_endpoint", body=TINY, headers=ELSEWHERE),
    post(TEST_CONFIG, 413, "request_too_large", body={"x": "x" * 9000}),
    post(TEST_CONFIG, 415, "unsupported_media_type", body={}, headers={"content-type": "text/plain"}),
    chat("tiny", 200),
    chat("tiny", 200, stream=True),
    get(MODELS),
    get("/admin/providers"),
]

SINKS = "/admin/sinks"
ONE_SINK = f"{SINKS}/{{sink_id}}"
FILE, NO_SINK = {"sink_id": "file"}, {"sink_id": "nobody"}
SINK_EXCHANGES = [
    get(SINKS),
    get(SINKS, 403, "protected_endpoint", headers=ELSEWHERE),
    get(ONE_SINK, values=FILE),
    get(ONE_SINK, 403, "protected_endpoint", values=FILE, headers=ELSEWHERE),
    get(ONE_SINK, 404, "not_found", values=NO_SINK),
    post(f"{ONE_SINK}/dead-letters/replay", 202, values=FILE),
    post(f"{ONE_SINK}/dead-letters/replay", 403, "protected_endpoint", values=FILE, headers=ELSEWHERE),
    post(f"{ONE_SINK}/dead-letters/replay", 404, "not_found", values=NO_SINK),
    post(f"{ONE_SINK}/export", 202, values=FILE, body={"from": 0}),
    post(f"{ONE_SINK}/export", 400, "invalid_request", values=FILE, body={"from": 7}),
    post(f"{ONE_SINK}/export", 403, "protected_endpoint", values=FILE, body={"from": 0}, headers=ELSEWHERE),
    post(f"{ONE_SINK}/export", 404, "not_found", values=NO_SINK, body={"from": 0}),
    *refused_bodies(f"{ONE_SINK}/export", FILE),
    *(
        exchange
        for turn in (f"{ONE_SINK}/pause", f"{ONE_SINK}/resume")
        for exchange in (
            post(turn, values=FILE),
            post(turn, 403, "protected_endpoint", values=FILE, headers=ELSEWHERE),
            post(turn, 404, "not_found", values=NO_SINK),
        )
    ),
]

ERASE = "/admin/receipts/erase"
ERASE_EXCHANGES = [
    post(ERASE, body={"user_id": "somebody", "tenant_id": "t", "before": 1.5, "dry_run": True}),
    post(ERASE, body={"user_id": "nobody"}),
    post(ERASE, 400, "invalid_request", body={"user_id": " "}),
    post(ERASE, 400, "invalid_request", body={"user_id": "somebody", "cursor": "none"}),
    post(ERASE, 403, "protected_endpoint", body={"user_id": "somebody"}, headers=ELSEWHERE),
    *refused_bodies(ERASE, {}),
]

# In this order: a model of two versions that are published, tried, rolled back, and retired.
CATALOG_EXCHANGES = [
    get(MODELS),
    get(MODELS, 403, "protected_endpoint", headers=ELSEWHERE),
    post(f"{ONE_MODEL}/drafts", 201, values=SPARE, body=artifact("one", "first")),
    post(f"{ONE_MODEL}/drafts", 200, values=SPARE, body=artifact("one", "first")),
    post(f"{ONE_MODEL}/drafts", 201, values=SPARE, body=artifact("two", "second")),
    post(f"{ONE_MODEL}/drafts", 409, "version_conflict", values=SPARE, body=artifact("two", "third")),
    post(f"{ONE_MODEL}/drafts", 400, "invalid_config", values=SPARE, body={"colour": "red"}),
    post(f"{ONE_MODEL}/drafts", 403, "protected_endpoint", values=SPARE, body={}, headers=ELSEWHERE),
    *refused_bodies(f"{ONE_MODEL}/drafts", SPARE),
    get(ONE_MODEL, values=SPARE),
    get(ONE_MODEL, 403, "protected_endpoint", values=SPARE, headers=ELSEWHERE),
    get(ONE_MODEL, 404, "model_not_found", values={"model": "nobody"}),
    post(f"{ONE_VERSION}/publish", values=ONE),
    post(f"{ONE_VERSION}/publish", 409, "version_conflict", values=TWO, body={"instead_of": "two"}),
    post(f"{ONE_VERSION}/publish", 404, "version_not_found", values={**SPARE, "version": "x"}),
    post(f"{ONE_VERSION}/publish", 403, "protected_endpoint", values=TWO, headers=ELSEWHERE),
    *refused_bodies(f"{ONE_VERSION}/publish", TWO),
    post(f"{ONE_VERSION}/canary", values=TWO, body={"percent": 12.5}),
    post(f"{ONE_VERSION}/canary", 409, "version_conflict", values=ONE, body={"percent": 1}),
    post(f"{ONE_VERSION}/canary", 404, "version_not_found", values={**SPARE, "version": "x"}, body={"percent": 1}),
    post(f"{ONE_VERSION}/canary", 403, "protected_endpoint", values=TWO, headers=ELSEWHERE),
    *refused_bodies(f"{ONE_VERSION}/canary", TWO),
    chat("spare", 200, headers={"x-wardwright-session-id": "session"}),
    get("/v1/receipts/{receipt_id}", values={"receipt_id": "newest"}),
    get(MODELS),
    get(f"{ONE_MODEL}/versions", values=SPARE),
    get(f"{ONE_MODEL}/versions", 403, "protected_endpoint", values=SPARE, headers=ELSEWHERE),
    get(f"{ONE_MODEL}/versions", 404, "model_not_found", values={"model": "nobody"}),
    get(ONE_VERSION, values=TWO),
    get(ONE_VERSION, 403, "protected_endpoint", values=TWO, headers=ELSEWHERE),
    get(ONE_VERSION, 404, "version_not_found", values={**SPARE, "version": "x"}),
    post(f"{ONE_MODEL}/rollback", values=SPARE),
    post(f"{ONE_VERSION}/publish", values=TWO, body={"instead_of": "one"}),
    post(f"{ONE_VERSION}/rollback", values=TWO),
    post(f"{ONE_VERSION}/rollback", 409, "version_conflict", values=TWO),
    post(f"{ONE_VERSION}/rollback", 403, "protected_endpoint", values=TWO, headers=ELSEWHERE),
    post(f"{ONE_VERSION}/rollback", 404, "model_not_found", values={"model": "nobody", "version": "x"}),
    post(f"{ONE_MODEL}/rollback", 409, "version_conflict", values=SPARE),
    post(f"{ONE_MODEL}/rollback", 403, "protected_endpoint", values=SPARE, headers=ELSEWHERE),
    post(f"{ONE_MODEL}/rollback", 404, "model_not_found", values={"model": "nobody"}),
    Exchange("DELETE", ONE_MODEL, 403, "protected_endpoint", values=SPARE, headers=ELSEWHERE),
    Exchange("DELETE", ONE_MODEL, 200, values=SPARE),
    Exchange("DELETE", ONE_MODEL, 409, "version_conflict", values=SPARE),
    Exchange("DELETE", ONE_MODEL, 404, "model_not_found", values={"model": "nobody"}),
]

EXCHANGES = [
    chat("ok", 200, headers={"x-wardwright-run-id": "run", "x-wardwright-session-id": "session"}),
    chat("wardwright/ok", 200, stream=True, stream_options={"include_usage": True}),
    chat("cut", 200, stream=True),
    chat("cut", 502, "provider_error"),
    chat("ok", 400, "context_length_exceeded", max_tokens=10**6),
    chat("plain", 400, "unsupported_parameter", tools=[{}]),
    chat("400", 400, "invalid_request"),
    chat("missing", 502, "provider_error"),
    chat("keyed", 401, "invalid_api_key"),
    chat("internal", 403, "model_internal"),
    chat("nobody", 404, "model_not_found"),
    chat("ok", 413, "request_too_large", user="x" * 9000),
    chat("governed", 422, "stream_policy_blocked"),
    chat("429", 429, "rate_limit_exceeded"),
    chat("503", 503, "overloaded"),
    chat("hang", 504, "deadline_exceeded"),
    Exchange(*CHAT, 400, "invalid_request", body={}),
    Exchange(*CHAT, 415, "unsupported_media_type", body={}, headers={"content-type": "text/plain"}),
    get("/v1/models"),
    get("/v1/models/{model}", values=MODEL),
    get("/v1/models/{model}", 403, "model_internal", values={"model": "internal"}),
    get("/v1/models/{model}", 404, "model_not_found", values={"model": "nobody"}),
    get("/v1/wardwright/models"),
    get("/v1/wardwright/models/{model}", values=MODEL),
    get("/v1/wardwright/models/{model}", 403, "model_internal", values={"model": "internal"}),
    get("/v1/wardwright/models/{model}", 404, "model_not_found", values={"model": "nobody"}),
    *(get(path, query={"limit": "1"}) for path in PROTECTED_LISTS),
    *(get(path, 403, "protected_endpoint", headers=ELSEWHERE) for path in PROTECTED_LISTS),
    get("/v1/receipts", 400, "invalid_request", query={"limit": "0"}),
    get("/v1/receipts", 400, "invalid_request", query={"cursor": "?"}),
    get("/v1/receipts/{receipt_id}", values={"receipt_id": "newest"}),
    get("/v1/receipts/{receipt_id}", 403, "protected_endpoint", values={"receipt_id": "x"}, headers=ELSEWHERE),
    get("/v1/receipts/{receipt_id}", 404, "receipt_not_found", values={"receipt_id": "x"}),
    post(REPLAY, values={"receipt_id": "newest"}),
    post(REPLAY, 400, "invalid_request", values={"receipt_id": "newest"}, body={"versoin": "x"}),
    post(REPLAY, 403, "protected_endpoint", values={"receipt_id": "x"}, headers=ELSEWHERE),
    post(REPLAY, 404, "receipt_not_found", values={"receipt_id": "x"}),
    post(REPLAY, 404, "version_not_found", values={"receipt_id": "newest"}, body={"version": "none"}),
    post(SIMULATE, body={"request": {"model": "ok", "messages": HELLO}}),
    post(SIMULATE, body={"request": {"messages": HELLO}, "model": "ok", "facts": SUPPOSED}),
    post(SIMULATE, 400, "invalid_request", body={"request": {"model": "ok", "messages": []}}),
    post(SIMULATE, 403, "protected_endpoint", body={"request": {}}, headers=ELSEWHERE),
    post(SIMULATE, 404, "model_not_found", body={"request": {"model": "nobody", "messages": HELLO}}),
    post(SIMULATE, 404, "version_not_found", body={"request": {"model": "ok", "messages": HELLO}, "version": "none"}),
    *refused_bodies(SIMULATE, {}),
    *refused_bodies(REPLAY, {"receipt_id": "newest"}),
    get("/v1/runs/{run_id}/receipts", values={"run_id": "run"}),
    get("/v1/runs/{run_id}/receipts", 400, "invalid_request", values={"run_id": "run"}, query={"limit": "x"}),
    get("/v1/runs/{run_id}/receipts", 403, "protected_endpoint", values={"run_id": "run"}, headers=ELSEWHERE),
    *(
        get(ACTOR, values={"path": path})
        for path in (
            "wardwright",
            "wardwright/storage",
            "wardwright/providers/up",
            "wardwright/models/ok/sessions/session",
        )
    ),
    get(ACTOR, 403, "protected_endpoint", values={"path": "wardwright"}, headers=ELSEWHERE),
    get(ACTOR, 404, "actor_not_found", values={"path": "nobody"}),
    get("/admin/events", 400, "invalid_request", query={"topic": "everything"}),
    get("/admin/events", 400, "invalid_request", query={"topics": "receipts"}),
    get("/admin/events", 403, "protected_endpoint", headers=ELSEWHERE),
    Exchange("POST", f"{ACTOR}/kill", 202, values={"path": "wardwright/catalog"}),
    Exchange("POST", f"{ACTOR}/kill", 403, "protected_endpoint", values={"path": "wardwright"}, headers=ELSEWHERE),
    Exchange("POST", f"{ACTOR}/kill", 404, "actor_not_found", values={"path": "nobody"}),
    *ERASE_EXCHANGES,
    *SINK_EXCHANGES,
    *CATALOG_EXCHANGES,
    *TEST_EXCHANGES,
    Exchange(
        *KEYS,
        201,
        body={"model": "ok", "label": "l", "caller": {"tenant_id": "t"}, "limits": {"usd_per_day": 1}},
    ),
    Exchange(*KEYS, 400, "invalid_request", body={"model": "ok", "label": ""}),
    Exchange(*KEYS, 403, "protected_endpoint", body={}, headers=ELSEWHERE),
    Exchange(*KEYS, 404, "model_not_found", body={"model": "nobody", "label": "l"}),
    Exchange(*KEYS, 413, "request_too_large", body={"model": "ok", "label": "l" * 9000}),
    Exchange(*KEYS, 415, "unsupported_media_type", body={}, headers={"content-type": "text/plain"}),
    get("/admin/model-api-keys"),
    get("/admin/model-api-keys", 403, "protected_endpoint", headers=ELSEWHERE),
    get("/admin/model-api-keys", 404, "model_not_found", query={"model": "nobody"}),
    Exchange("DELETE", KEY, 200, values={"key_id": "newest"}),
    Exchange("DELETE", KEY, 403, "protected_endpoint", values={"key_id": "x"}, headers=ELSEWHERE),
    Exchange("DELETE", KEY, 404, "api_key_not_found", values={"key_id": "x"}),
    get("/livez", headers=ELSEWHERE),
    get("/readyz", headers=ELSEWHERE),
]

# A bug of the gateway cannot be ordered, nor a disk that fails, nor a daemon that is not ready. What has no end has a test of its own.
UNORDERED = {
    *((operation, "500") for operation in OPERATIONS),
    (("GET", "/admin/events"), "200"),
    *((operation, "503") for operation in OPERATIONS if operation != CHAT),
    (("GET", KEYS[1]), "400"),  # a query string that is not UTF-8, which no client of ours can send
}


def configuration(upstream: Upstream) -> str:
    models = "".join(
        f"""
[[targets]]
id = "{provider}/{name}"
provider = "{provider}"
upstream_model = "{name}"
context_window = 8192
capabilities = ["chat"]

[[models]]
id = "{name}"
route_root = "{provider}/{name}"
access = {{ unkeyed = "{"internal" if name == "internal" else "public"}", requires_api_key = {str(name == "keyed").lower()} }}
"""
        for provider, name in (
            ("up", "ok"),
            ("up", "plain"),
            ("up", "cut"),
            ("up", "400"),
            ("up", "missing"),
            ("up", "internal"),
            ("up", "keyed"),
            ("up", "429"),
            ("up", "503"),
            ("brief", "hang"),
        )
    )
    return f"""
[server]
max_body_bytes = 8192

[[providers]]
id = "up"
kind = "openai-compatible"
base_url = "{upstream.url}"
retry = {{ attempts = 1 }}

[[providers]]
id = "brief"
kind = "openai-compatible"
base_url = "{upstream.url}"
timeouts = {{ total = 0.3 }}
{models}
[[models]]
id = "governed"
route_root = "up/ok"
stream_rules = [{{ id = "nothing", regex = '\\w', action = "block" }}]

[[sinks]]
id = "file"
kind = "jsonl"
path = "sent-on.jsonl"
"""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Upstream() as upstream,
        run_daemon(Path(folder), configuration(upstream), environment={"WARDWRIGHT_ALLOW_TEST_CONFIG": "1"}) as running,
    ):
        running.chat(model="ok")
        yield running


@pytest.fixture(scope="module")
def answers(daemon: Daemon) -> list[httpx2.Response]:
    """What every exchange was answered with: made once, in their order, for some build upon others."""
    with daemon.client() as client:
        return [ask(daemon, client, exchange) for exchange in EXCHANGES]


def ask(daemon: Daemon, client: httpx2.Client, exchange: Exchange) -> httpx2.Response:
    values = dict(exchange.values)
    if values.get("receipt_id") == "newest":
        values["receipt_id"] = daemon.receipts(limit=1)[0]["receipt_id"]
    if values.get("key_id") == "newest":
        values["key_id"] = daemon.get(KEYS[1])["data"][0]["id"]
    return client.request(
        exchange.method,
        exchange.path.format(**values),
        params=dict(exchange.query),
        headers={"content-type": "application/json", **exchange.headers},
        content=None if exchange.body is None else json.dumps(exchange.body),
    )


@pytest.mark.parametrize("number", range(len(EXCHANGES)), ids=lambda number: EXCHANGES[number].id)
def test_answers_are_what_the_document_says(answers: list[httpx2.Response], number: int) -> None:
    exchange, answer = EXCHANGES[number], answers[number]
    assert answer.status_code == exchange.status, answer.text
    check_answer(answer, OPERATIONS[exchange.method, exchange.path])
    if exchange.code is not None:
        assert answer.json()["error"]["code"] == exchange.code


def check_answer(answer: httpx2.Response, operation: dict[str, Any]) -> None:
    """Content type, body and headers are documented for this status."""
    described = resolved(operation["responses"][str(answer.status_code)])
    media_type = answer.headers["content-type"].partition(";")[0]
    schema = described["content"][media_type]["schema"]
    if media_type == "application/json":
        check(answer.json(), pointer_of(schema))
    elif media_type == "text/event-stream":
        check_stream(answer.text, described["content"][media_type]["x-events"])
    said = {name for name in answer.headers if name.startswith("x-") or name in ("allow", "retry-after")}
    assert "x-request-id" in said
    assert said - {"x-accel-buffering"} <= set(described["headers"])


def check_stream(text: str, schemas: list[dict[str, Any]]) -> None:
    """Chunks, then either the end of a whole answer or one error."""
    chunk, error = (schema["$ref"].removeprefix("#") for schema in schemas)
    events = [event.removeprefix("data: ") for event in text.strip().split("\n\n")]
    assert len(events) > 2
    for event in events[:-1]:
        check(json.loads(event), chunk)
    if events[-1] != "[DONE]":
        check(json.loads(events[-1]), error)


def test_events_are_what_the_document_says(daemon: Daemon) -> None:
    answer = OPERATIONS["GET", "/admin/events"]["responses"]["200"]["content"]["text/event-stream"]
    [schema] = (node for _, node in nodes(answer["x-events"]))
    with watching(daemon) as watcher:
        daemon.chat(model="ok")
        daemon.chat(model="governed")
        daemon.kill_actor("wardwright/models/ok/model")
        watcher.wait_for_type("receipt.closed", "rule.fired", "actor.restarted")
    for event in watcher.events:
        check(event, pointer_of(schema))


def pointer_of(wanted: dict[str, Any]) -> str:
    """Where in the document a schema stands."""
    return next(pointer for pointer, node in nodes(DOCUMENT) if node is wanted)


def test_every_documented_answer_is_among_those_asked_for() -> None:
    documented = {(operation, status) for operation, about in OPERATIONS.items() for status in about["responses"]}
    asked_for = {((exchange.method, exchange.path), str(exchange.status)) for exchange in EXCHANGES}
    assert asked_for <= documented
    assert documented - asked_for == UNORDERED & documented


def test_protected_operations_are_those_that_refuse_other_hosts() -> None:
    refused = {(e.method, e.path) for e in EXCHANGES if e.code == "protected_endpoint"}
    assert refused == {operation for operation, about in OPERATIONS.items() if {"adminBearer": []} in about["security"]}


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/v1/models", 405)])
def test_what_no_endpoint_answers_is_an_error_of_the_document(daemon: Daemon, path: str, status: int) -> None:
    with daemon.client() as client:
        answer = client.delete(path)
    name = {404: "NotFound", 405: "MethodNotAllowed"}[status]
    described = COMPONENTS["responses"][name]
    assert answer.status_code == status
    assert "x-request-id" in answer.headers
    check(answer.json(), f"/components/responses/{name}/content/application~1json/schema")
    assert ("allow" in answer.headers) == ("allow" in described["headers"])

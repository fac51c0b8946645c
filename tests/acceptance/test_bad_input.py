"""A user's mistake gets one clear message and the right status; nothing is lost and no traceback shows."""

from collections.abc import Iterator, Mapping

import pytest

from tests.acceptance.conftest import gateway_config
from tests.acceptance.daemon import Daemon, run_daemon
from tests.support.upstream import Upstream

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}
GOOD = b'{"model": "test-model", "messages": [{"role": "user", "content": "hello"}]}'


@pytest.fixture(scope="module")
def daemon(shared_upstream: Upstream, backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    limited = "\n[server]\nmax_body_bytes = 2000\n"
    config = gateway_config(shared_upstream, "ok", backend=backend, extra=limited)
    with run_daemon(tmp_path_factory.mktemp("daemon"), config) as running:
        yield running


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Upstream:
    shared_upstream.calls.clear()
    return shared_upstream


@pytest.mark.parametrize(
    ("body", "headers", "status", "code", "says"),
    [
        (b'{"model": "test-model", ', JSON, 400, "invalid_request", "JSON"),
        (b"[1, 2]", JSON, 400, "invalid_request", "object"),
        (b'{"messages": [{"role": "user", "content": "x"}]}', JSON, 400, "invalid_request", "model"),
        (b'{"model": 5, "messages": [{"role": "user", "content": "x"}]}', JSON, 400, "invalid_request", "model"),
        (b'{"model": "test-model", "messages": []}', JSON, 400, "invalid_request", "messages"),
        (b'{"model": "test-model", "messages": "hi"}', JSON, 400, "invalid_request", "messages"),
        (
            b'{"model": "test-model", "messages": [{"role": "user", "content": 7}]}',
            JSON,
            400,
            "invalid_request",
            "messages[0].content",
        ),
        (
            b'{"model": "test-model", "stream": "yes", "messages": [{"role": "user", "content": "x"}]}',
            JSON,
            400,
            "invalid_request",
            "stream",
        ),
        (
            b'{"model": "nope", "messages": [{"role": "user", "content": "x"}]}',
            JSON,
            404,
            "model_not_found",
            "test-model",
        ),
        (GOOD + b" " * 3000, JSON, 413, "request_too_large", "2000"),
        (GOOD, {"content-type": "text/plain"}, 415, "unsupported_media_type", "text/plain"),
        (GOOD, {**JSON, "x-wardwright-session-id": "x" * 300}, 400, "invalid_request", "session"),
    ],
)
def test_each_mistake_has_its_answer(
    daemon: Daemon, upstream: Upstream, body: bytes, headers: Mapping[str, str], status: int, code: str, says: str
) -> None:
    with daemon.client() as client:
        answer = client.post(CHAT, content=body, headers=dict(headers))
        after = client.post(CHAT, content=GOOD, headers=JSON)

    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    assert says.lower() in (error["message"] + str(error["param"])).lower()
    assert set(error) == {"message", "type", "param", "code"}
    assert answer.headers["x-request-id"]
    assert after.status_code == 200, "the next request is served as if nothing had been"
    assert len(upstream.calls) == 1
    assert "Traceback" not in "".join(daemon.raw_log)


def test_an_oversized_body_without_a_length_is_refused_too(daemon: Daemon) -> None:
    with daemon.client() as client:
        answer = client.post(CHAT, content=(b" " * 500 for _ in range(20)), headers=JSON)

    assert answer.status_code == 413


def test_unknown_paths_and_methods_are_json_errors(daemon: Daemon) -> None:
    with daemon.client() as client:
        missing, wrong = client.get("/v1/nothing"), client.get(CHAT)

    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")


def test_unknown_fields_travel_to_the_provider_and_back_unchanged(daemon: Daemon, upstream: Upstream) -> None:
    with daemon.client() as client:
        sent = {"temperature": 0.25, "x_vendor": {"deep": [1, 2.50, None]}, "logit_bias": {"50256": -100}}
        body = {"model": "test-model", "messages": [{"role": "user", "content": "hi", "name": "ann"}], **sent}
        answer = client.post(CHAT, json=body)

    assert answer.status_code == 200
    [call] = upstream.calls
    assert {name: call.json[name] for name in sent} == sent
    assert call.json["messages"] == body["messages"]
    assert call.json["model"] == "ok"


def test_the_callers_credentials_never_reach_the_provider(daemon: Daemon, upstream: Upstream) -> None:
    with daemon.client() as client:
        client.post(CHAT, content=GOOD, headers={**JSON, "authorization": "Bearer sk-caller", "cookie": "a=b"})

    [call] = upstream.calls
    assert "sk-caller" not in str(call.headers)
    assert "cookie" not in {name.lower() for name in call.headers}


def test_who_asked_is_in_the_receipt_with_its_source(daemon: Daemon) -> None:
    with daemon.client() as client:
        body = {
            "model": "test-model",
            "messages": [{"role": "user", "content": "hi"}],
            "metadata": {"run_id": "from-body"},
        }
        answer = client.post(
            CHAT, json=body, headers={"x-wardwright-agent-id": "agent-7", "x-wardwright-run-id": "r-1"}
        )

    caller = daemon.receipt(answer.headers["x-wardwright-receipt-id"])["caller"]
    assert caller["consuming_agent_id"] == {"value": "agent-7", "source": "header"}
    assert caller["run_id"] == {"value": "r-1", "source": "header"}
    assert [r["receipt_id"] for r in daemon.get("/v1/runs/r-1/receipts")["data"]] == [
        answer.headers["x-wardwright-receipt-id"]
    ]


def test_a_trace_goes_on_at_the_provider_and_is_named_in_the_receipt(daemon: Daemon, upstream: Upstream) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with daemon.client() as client:
        answer = client.post(CHAT, content=GOOD, headers={**JSON, "traceparent": traceparent})
        client.post(CHAT, content=GOOD, headers={**JSON, "traceparent": "garbage"})

    assert [call.headers.get("traceparent") for call in upstream.calls] == [traceparent, None]
    request = daemon.receipt(answer.headers["x-wardwright-receipt-id"])["request"]
    assert request["trace_id"] == "0af7651916cd43dd8448eb211c80319c"

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.domain.errors import FailureClass
from wardwright.wire.errors import UpstreamErrorBody, classify, parse_error, render_error, render_stream_error


def test_renders_the_envelope_with_real_nulls() -> None:
    assert (
        render_error("no such model", "invalid_request_error", None)
        == b'{"error":{"message":"no such model","type":"invalid_request_error","param":null,"code":null}}'
    )


def test_renders_the_gateways_facts_beside_the_error() -> None:
    body = render_error("m", "server_error", "provider_error", "messages", {"receipt_id": "r1"})
    assert json.loads(body) == {
        "error": {"message": "m", "type": "server_error", "param": "messages", "code": "provider_error"},
        "wardwright": {"receipt_id": "r1"},
    }


def test_a_stream_error_is_one_event_and_no_done() -> None:
    event = render_stream_error("cut\nhere", "server_error", "provider_error", wardwright={"receipt_id": "r1"})
    assert event == (
        b'data: {"error":{"message":"cut\\nhere","type":"server_error","param":null,"code":"provider_error"},'
        b'"wardwright":{"receipt_id":"r1"}}\n\n'
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b'{"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}',
            ("too long", "invalid_request_error", "context_length_exceeded", "messages"),
        ),
        (
            b'{"error":{"code":400,"message":"too long","type":"exceed_context_size_error","n_ctx":512}}',
            ("too long", "exceed_context_size_error", "400", None),
        ),
        (b'{"error":"model not loaded"}', ("model not loaded", None, None, None)),
        (b'{"error":"slow down","code":"rate_limit_exceeded"}', ("slow down", None, "rate_limit_exceeded", None)),
        (b'{"detail":"Not Found"}', ("Not Found", None, None, None)),
        (b'{"detail":[{"loc":["body"],"msg":"bad"}]}', ('[{"loc":["body"],"msg":"bad"}]', None, None, None)),
        (
            b'{"object":"error","message":"bad","type":"BadRequestError","param":null,"code":400}',
            ("bad", "BadRequestError", "400", None),
        ),
        (b'[{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED"}}]', ("quota", None, "429", None)),
        (b'{"error":{"message":{"error":"nested"},"type":null}}', ('{"error":"nested"}', None, None, None)),
        (b'{"error":{}}', ("the provider gave no message", None, None, None)),
        (b"", ("the provider gave no message", None, None, None)),
        (b"null", ("the provider gave no message", None, None, None)),
        (b"upstream timed out\n", ("upstream timed out", None, None, None)),
        (
            b"<html><head><title>502 Bad\nGateway</title></head></html>",
            ("the provider answered with an HTML page: 502 Bad\nGateway", None, None, None),
        ),
        (b"<!doctype html><p>no", ("the provider answered with an HTML page", None, None, None)),
        (b"<title>" * 9000, ("the provider answered with an HTML page", None, None, None)),
        (b"<title>" + b" " * 60_000 + b"x", ("the provider answered with an HTML page", None, None, None)),
        (b"caf\xe9", ("caf\ufffd", None, None, None)),
    ],
)
def test_reads_whatever_providers_call_an_error(
    body: bytes, expected: tuple[str, str | None, str | None, str | None]
) -> None:
    error = parse_error(body)
    assert (error.message, error.type, error.code, error.param) == expected


def test_keeps_the_error_object_as_it_came() -> None:
    assert parse_error(b'{"error":{"message":"m","n_ctx":512}}').raw == {"message": "m", "n_ctx": 512}
    assert parse_error(b"<html>").raw is None


@given(st.binary())
def test_reading_never_fails(body: bytes) -> None:
    assert parse_error(body).message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["error", "message", "code", "detail"]), inner),
)


@given(JSON)
def test_reading_and_classifying_never_fail_on_json(answer: object) -> None:
    error = parse_error(json.dumps(answer).encode())
    assert error.message
    assert classify(400, error)


@pytest.mark.parametrize("shape", [b"%s", b'{"error":%s}', b'{"error":{"message":%s}}', b'[{"detail":%s}]'])
def test_an_error_nested_to_the_edge_of_what_can_be_read_is_still_an_error(shape: bytes) -> None:
    for depth in range(700, 1000):
        for opening, closing in ((b"[", b"]"), (b'{"error":', b"}")):
            body = shape % (opening * depth + b"1" + closing * depth)
            assert parse_error(body).message


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (400, {"code": "context_length_exceeded"}, "context_exceeded"),
        (400, {"code": "context_window_exceeded"}, "context_exceeded"),
        (400, {"code": "400", "type": "exceed_context_size_error"}, "context_exceeded"),
        (400, {"message": "This model's maximum context length is 4096 tokens.", "code": "400"}, "context_exceeded"),
        (
            400,
            {"message": "prompt is too long: 9 tokens > 8 maximum", "type": "invalid_request_error"},
            "context_exceeded",
        ),
        (400, {"message": "maximum context length", "code": "invalid_value"}, "invalid_request"),
        (500, {"message": "maximum context length"}, "server_error"),
        (400, {"code": "content_policy_violation"}, "content_filter"),
        (400, {"code": "content_filter"}, "content_filter"),
        (429, {"code": "insufficient_quota"}, "rate_limited"),
        (403, {"type": "insufficient_quota"}, "rate_limited"),
        (402, {}, "rate_limited"),
        (429, {}, "rate_limited"),
        (401, {}, "auth"),
        (403, {}, "auth"),
        (408, {}, "timeout"),
        (504, {}, "timeout"),
        (503, {}, "overloaded"),
        (529, {}, "overloaded"),
        (500, {}, "server_error"),
        (502, {}, "server_error"),
        (599, {}, "server_error"),
        (400, {}, "invalid_request"),
        (404, {"code": "model_not_found"}, "invalid_request"),
        (422, {}, "invalid_request"),
        (302, {}, "bad_response"),
        (200, {}, "server_error"),
        (200, {"code": "429"}, "rate_limited"),
        (200, {"code": "400"}, "invalid_request"),
        (200, {"code": "42"}, "server_error"),
        (200, {"type": "overloaded_error"}, "overloaded"),
    ],
)
def test_classifies_by_code_then_by_status(status: int, error: dict[str, str], expected: FailureClass) -> None:
    assert classify(status, msgspec.convert({"message": "said", **error}, UpstreamErrorBody)) == expected

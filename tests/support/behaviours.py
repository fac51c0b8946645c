"""What the test upstream can do, by the name of the model that is asked for."""

import json
import time
from collections import Counter
from collections.abc import Callable
from email.utils import formatdate

from tests.support.exchange import Exchange, answer_text, chunk, completion, error_body

Behaviour = Callable[[Exchange], None]

BEHAVIOURS: dict[str, Behaviour] = {}


def behaviour(*names: str) -> Callable[[Behaviour], Behaviour]:
    """Have the upstream behave so for models of these names."""

    def register(function: Behaviour) -> Behaviour:
        BEHAVIOURS.update(dict.fromkeys(names, function))
        return function

    return register


@behaviour("ok")
def _ok(exchange: Exchange) -> None:
    exchange.pause(exchange.tuning.delay_s)
    if not exchange.call.wants_stream:
        count = exchange.tuning.chunks
        exchange.whole(200, json.dumps(completion(answer_text(count), count)).encode())
        return
    exchange.begin_stream()
    exchange.words()
    exchange.finish()
    exchange.usage()
    exchange.done()


@behaviour("hang")
def _hang(exchange: Exchange) -> None:
    exchange.hold()


@behaviour("hang-after-headers")
def _hang_after_headers(exchange: Exchange) -> None:
    if exchange.call.wants_stream:
        exchange.begin_stream()
    else:
        exchange.head(200, content_type="application/json", content_length="1000")
    exchange.hold()


@behaviour("stall")
def _stall(exchange: Exchange) -> None:
    _part_of_an_answer(exchange)
    exchange.hold()


@behaviour("trickle")
def _trickle(exchange: Exchange) -> None:
    """Never ends, and never pauses for long."""
    is_stream = exchange.call.wants_stream
    exchange.begin_stream("text/event-stream" if is_stream else "application/json")
    while True:
        exchange.pause(0.05)
        exchange.event(chunk({"content": "more "})) if is_stream else exchange.piece(b" ")


@behaviour("held")
def _held(exchange: Exchange) -> None:
    """Words, more of them when the test lets held answers go (`Upstream.holding`), and the end. Streams only."""
    exchange.begin_stream()
    exchange.words()
    exchange.wait_until_let_go()
    exchange.words()
    exchange.finish()
    exchange.done()


@behaviour("flood")
def _flood(exchange: Exchange) -> None:
    """200 MB, as fast as they are taken."""
    event = b"data: %s\n\n" % json.dumps(chunk({"content": "and more words that nobody has asked for "})).encode()
    events = event * 64
    exchange.begin_stream()
    while exchange.sent_bytes < 200_000_000:
        exchange.piece(events)
    exchange.finish()
    exchange.done()


@behaviour("reset")
def _reset(exchange: Exchange) -> None:
    exchange.reset()


@behaviour("close")
def _close(exchange: Exchange) -> None:
    exchange.close()


@behaviour("cut-headers")
def _cut_headers(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 200 OK\r\ncontent-ty")
    exchange.close()


@behaviour("cut")
def _cut(exchange: Exchange) -> None:
    if exchange.call.wants_stream:
        exchange.begin_stream()
        exchange.words()
        exchange.send(b'ff\r\ndata: {"id": "chatcmpl-up')
    else:
        exchange.head(200, content_type="application/json", content_length="1000")
        exchange.send(b'{"id": "chatcmpl-up')
    exchange.close()


@behaviour("reset-mid-stream")
def _reset_mid_stream(exchange: Exchange) -> None:
    exchange.begin_stream()
    exchange.words()
    exchange.pause(0.05)  # the client shall have read the words: a reset discards what is still on its way
    exchange.reset()


@behaviour("no-finish")
def _no_finish(exchange: Exchange) -> None:
    _part_of_an_answer(exchange)
    exchange.end_stream()


@behaviour("no-finish-but-done")
def _no_finish_but_done(exchange: Exchange) -> None:
    exchange.begin_stream()
    exchange.words()
    exchange.done()


@behaviour("empty-stream")
def _empty_stream(exchange: Exchange) -> None:
    exchange.begin_stream()
    exchange.end_stream()


@behaviour("no-done")
def _no_done(exchange: Exchange) -> None:
    exchange.begin_stream()
    exchange.words()
    exchange.finish()
    exchange.end_stream()


@behaviour("no-done-held-open")
def _no_done_held_open(exchange: Exchange) -> None:
    exchange.begin_stream()
    exchange.words()
    exchange.finish()
    exchange.hold()


@behaviour("finish-then-cut")
def _finish_then_cut(exchange: Exchange) -> None:
    exchange.begin_stream()
    exchange.words()
    exchange.finish()
    exchange.send(b'ff\r\ndata: {"choices": [')
    exchange.close()


@behaviour("finish-then-reset")
def _finish_then_reset(exchange: Exchange) -> None:
    exchange.begin_stream()
    exchange.words()
    exchange.finish()
    exchange.pause(0.05)
    exchange.reset()


@behaviour("late-usage")
def _late_usage(exchange: Exchange) -> None:
    exchange.begin_stream()
    exchange.words()
    exchange.finish()
    exchange.pause(0.05)
    exchange.usage()
    exchange.done()


@behaviour("done-held-open")
def _done_held_open(exchange: Exchange) -> None:
    exchange.begin_stream()
    exchange.words()
    exchange.finish()
    exchange.usage()
    exchange.event(b"[DONE]")
    exchange.hold()


@behaviour("byte-by-byte")
def _byte_by_byte(exchange: Exchange) -> None:
    exchange.begin_stream()
    events = [chunk({"role": "assistant", "content": "na\u00efve \U0001f98a"}), chunk({}, finish_reason="stop")]
    text = (
        ": hello\r\n\r\n"
        + "".join(f"data: {json.dumps(e, ensure_ascii=False)}\r\n\r\n" for e in events)
        + "data: [DONE]\r\n\r\n"
    )
    for byte in text.encode():
        exchange.piece(bytes([byte]))
    exchange.end_stream()


@behaviour("two-choices", "two-choices-one-unfinished")
def _two_choices(exchange: Exchange) -> None:
    exchange.begin_stream()
    for index in (0, 1):
        exchange.event(chunk({"role": "assistant", "content": f"choice {index}"}, index=index))
    exchange.event(chunk({}, finish_reason="stop", index=0))
    if exchange.call.model == "two-choices":
        exchange.event(chunk({}, finish_reason="length", index=1))
    exchange.end_stream()


@behaviour("tool-call")
def _tool_call(exchange: Exchange) -> None:
    function = {"name": "look_up", "arguments": ""}
    exchange.begin_stream()
    exchange.event(chunk({"role": "assistant", "content": None}))
    exchange.event(chunk({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]}))
    for piece in ('{"city"', ':"Bonn"}'):
        exchange.event(chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}))
    exchange.event(chunk({}, finish_reason="tool_calls"))
    exchange.done()


@behaviour("garbage")
def _garbage(exchange: Exchange) -> None:
    if not exchange.call.wants_stream:
        exchange.whole(200, b'{"choices": [')
        return
    exchange.begin_stream()
    exchange.words()
    exchange.event(b'{"choices": [')
    exchange.hold()


@behaviour("wrong-shape")
def _wrong_shape(exchange: Exchange) -> None:
    if not exchange.call.wants_stream:
        exchange.whole(200, b'{"result": "fine"}')
        return
    exchange.begin_stream()
    exchange.event(b'{"choices": "none"}')
    exchange.hold()


@behaviour("html")
def _html(exchange: Exchange) -> None:
    exchange.whole(200, b"<!doctype html><title>Welcome</title>", "text/html; charset=utf-8")


@behaviour("json-for-stream")
def _json_for_stream(exchange: Exchange) -> None:
    exchange.whole(200, json.dumps(completion(answer_text(), 3)).encode())


@behaviour("error-with-200")
def _error_with_200(exchange: Exchange) -> None:
    exchange.whole(200, error_body("The engine is overloaded.", code="overloaded"))


@behaviour("stream-for-unary")
def _stream_for_unary(exchange: Exchange) -> None:
    exchange.begin_stream()
    exchange.words()
    exchange.done()


@behaviour("compressed")
def _compressed(exchange: Exchange) -> None:
    exchange.whole(200, b"\x1f\x8b\x08not really", content_encoding="gzip")


@behaviour("oversize")
def _oversize(exchange: Exchange) -> None:
    if not exchange.call.wants_stream:
        exchange.begin_stream("application/json")
        while True:
            exchange.piece(b" " * 1_000_000)
    exchange.begin_stream()
    exchange.piece(b"data: ")
    while True:
        exchange.piece(b"x" * 1_000_000)


@behaviour("bad-utf8")
def _bad_utf8(exchange: Exchange) -> None:
    if not exchange.call.wants_stream:
        exchange.whole(200, b'{"choices": [{"index": 0, "message": {"content": "\xff\xfe"}}]}')
        return
    exchange.begin_stream()
    exchange.words()
    exchange.event(b'{"choices": [{"index": 0, "delta": {"content": "\xff\xfe"}}]}')
    exchange.hold()


@behaviour("error-in-stream")
def _error_in_stream(exchange: Exchange) -> None:
    error = error_body("The server had an error.", type="server_error")
    if not exchange.call.wants_stream:
        exchange.whole(200, error)
        return
    exchange.begin_stream()
    exchange.words()
    exchange.event(error)
    exchange.hold()


@behaviour("error-first")
def _error_first(exchange: Exchange) -> None:
    exchange.begin_stream()
    exchange.event(error_body("Too long.", type="invalid_request_error", code="context_length_exceeded"))
    exchange.hold()


@behaviour("not-http")
def _not_http(exchange: Exchange) -> None:
    exchange.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    exchange.close()


@behaviour("redirect")
def _redirect(exchange: Exchange) -> None:
    exchange.whole(302, b"", location="/v1/chat/completions?elsewhere")


@behaviour("cookie")
def _cookie(exchange: Exchange) -> None:
    exchange.whole(200, json.dumps(completion("yes", 1)).encode(), set_cookie="session=1; Path=/")


def _part_of_an_answer(exchange: Exchange) -> None:
    """The headers and a beginning: of a stream some words, of a whole answer less than makes sense."""
    if exchange.call.wants_stream:
        exchange.begin_stream()
        exchange.words()
    else:
        exchange.begin_stream("application/json")
        exchange.piece(b'{"id": "chatcmpl-up')


def _limited(**headers: str) -> Behaviour:
    body = error_body("Rate limit reached.", type="rate_limit_error", code="rate_limit_exceeded")
    return lambda exchange: exchange.whole(429, body, **headers)


@behaviour("429-date")
def _limited_until_date(exchange: Exchange) -> None:
    _limited(retry_after=formatdate(time.time() + 30, usegmt=True))(exchange)


@behaviour("context-exceeded")
def _context_exceeded(exchange: Exchange) -> None:
    body = error_body(
        "This model's maximum context is 10.", type="invalid_request_error", code="context_length_exceeded"
    )
    exchange.whole(400, body)


@behaviour("filtered")
def _filtered(exchange: Exchange) -> None:
    exchange.whole(400, error_body("Not that.", type="invalid_request_error", code="content_filter"))


@behaviour("not-allowed")
def _not_allowed(exchange: Exchange) -> None:
    exchange.whole(403, error_body("Your key is not good for this model.", type="invalid_request_error"))


@behaviour("refused-key")
def _refused_key(exchange: Exchange) -> None:
    body = error_body("Incorrect API key provided.", type="invalid_request_error", code="invalid_api_key")
    exchange.whole(401, body)


@behaviour("html-error")
def _html_error(exchange: Exchange) -> None:
    exchange.whole(502, b"<html><h1>502 Bad Gateway</h1></html>", "text/html")


@behaviour("cut-error")
def _cut_error(exchange: Exchange) -> None:
    exchange.head(500, content_type="application/json", content_length="1000")
    exchange.send(b'{"error": {"mess')
    exchange.close()


@behaviour("endless-error")
def _endless_error(exchange: Exchange) -> None:
    exchange.head(500, content_type="application/json", transfer_encoding="chunked")
    while True:
        exchange.piece(b" " * 65536)


def _quoting(status: int) -> Behaviour:
    """Refuse, and quote all that was sent, headers included, in every place that an error has."""

    def quote(exchange: Exchange) -> None:
        key = exchange.call.headers.get("authorization", "").removeprefix("Bearer ")
        everything = f"{exchange.call.headers} {exchange.call.body.decode()} {key}"
        error = {"message": everything, "type": key, "param": key, "code": key, "request": {key: [everything]}}
        exchange.whole(status, json.dumps({"error": error}).encode(), x_request_id=key, retry_after=key, x_key=key)

    return quote


@behaviour("quoting-stream")
def _quoting_stream(exchange: Exchange) -> None:
    key = exchange.call.headers.get("authorization", "").removeprefix("Bearer ")
    error = {
        "message": f"The key {key} is bad.",
        "type": "invalid_request_error",
        "code": "content_filter",
        "param": key,
    }
    exchange.begin_stream("text/event-stream" if exchange.call.wants_stream else "application/json", x_key=key)
    body = json.dumps({"error": error}).encode()
    exchange.event(body) if exchange.call.wants_stream else exchange.piece(body)
    exchange.end_stream()


@behaviour("quoting-html")
def _quoting_html(exchange: Exchange) -> None:
    key = exchange.call.headers.get("authorization", "")
    exchange.whole(502, f"<title>{key}</title>{exchange.call.body.decode()}".encode(), "text/html; key=" + key)


for _status in (400, 401, 403, 404, 422, 429, 500, 503):
    BEHAVIOURS[f"quoting-{_status}"] = _quoting(_status)
BEHAVIOURS["429"] = _limited()
BEHAVIOURS["429-seconds"] = _limited(retry_after="2")
BEHAVIOURS["429-8-seconds"] = _limited(retry_after="8")
BEHAVIOURS["429-soon"] = _limited(retry_after_ms="40")
BEHAVIOURS["429-ms"] = _limited(retry_after_ms="1500")
BEHAVIOURS["429-7500-ms"] = _limited(retry_after_ms="7500")


_said: Counter[str] = Counter()


@behaviour("say")
def _say(exchange: Exchange) -> None:
    """Say what the request's own field `say` holds: a list of answers, each a list of pieces; one answer a call, by the field `say_as`."""
    answers = exchange.call.json["say"]
    name = exchange.call.json["say_as"]
    pieces = answers[min(_said[name], len(answers) - 1)]
    _said[name] += 1
    if not exchange.call.wants_stream:
        exchange.whole(200, json.dumps(completion("".join(pieces), len(pieces))).encode())
        return
    exchange.begin_stream()
    for number, piece in enumerate(pieces):
        said = chunk({"role": "assistant", "content": piece} if number == 0 else {"content": piece})
        if exchange.call.json.get("logprobs"):
            tokens = [{"token": "".join(pieces), "logprob": 0.0, "bytes": None, "top_logprobs": []}]
            said["choices"][0]["logprobs"] = {
                "content": tokens,
                "refusal": None,
            }  # of a server that knows them all before
        exchange.event(said)
        exchange.pause(0.02)  # a read of its own for each piece
    exchange.finish()
    exchange.done()

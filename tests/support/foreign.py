"""How the test upstream answers on the wires that are not OpenAI's. Its faults are the same on all of them."""

import json
from collections.abc import Callable

from tests.support.behaviours import behaviour
from tests.support.exchange import Exchange, answer_text, answer_words
from tests.support.streams import FIXTURES, Fixture, load

STREAM_TYPES = {"openai": "text/event-stream", "anthropic": "text/event-stream", "ollama": "application/x-ndjson"}


def _playing(fixture: Fixture) -> Callable[[Exchange], None]:
    """Stream a fixture, in the pieces it is written in."""

    def play(exchange: Exchange) -> None:
        exchange.begin_stream(STREAM_TYPES[fixture.wire])
        for piece in fixture.stream:
            exchange.piece(piece.encode())
        exchange.end_stream()

    return play


for _path in FIXTURES:
    _fixture = load(_path)
    behaviour(f"play-{_fixture.wire}-{_path.stem}")(_playing(_fixture))


def _line(exchange: Exchange, text: str, **fields: object) -> bytes:
    message = {"role": "assistant", "content": text}
    return json.dumps({"model": exchange.call.model, "message": message, "done": False, **fields}).encode() + b"\n"


def _last(exchange: Exchange, text: str = "") -> bytes:
    counts = {"done_reason": "stop", "prompt_eval_count": 7, "eval_count": exchange.tuning.chunks}
    return _line(exchange, text, done=True, **counts)


def _lines(exchange: Exchange) -> None:
    exchange.begin_stream(STREAM_TYPES["ollama"])
    for word in answer_words(exchange.tuning.chunks):
        exchange.pause(exchange.tuning.pause_s)
        exchange.piece(_line(exchange, word))


@behaviour("ollama-ok")
def _ollama_ok(exchange: Exchange) -> None:
    if not exchange.call.wants_stream:
        exchange.whole(200, _last(exchange, answer_text(exchange.tuning.chunks)))
        return
    _lines(exchange)
    exchange.piece(_last(exchange))
    exchange.end_stream()


@behaviour("ollama-tools")
def _ollama_tools(exchange: Exchange) -> None:
    """A whole answer that calls a tool after some thought."""
    calls = [{"function": {"name": "weather", "arguments": {"city": "Oslo"}}}]
    message = {"role": "assistant", "content": "", "thinking": "Hm.", "tool_calls": calls}
    exchange.whole(200, _line(exchange, "", message=message, done=True, done_reason="stop"))


@behaviour("ollama-done-held-open")
def _ollama_done_held_open(exchange: Exchange) -> None:
    _lines(exchange)
    exchange.piece(_last(exchange))
    exchange.hold()


@behaviour("ollama-stall")
def _ollama_stall(exchange: Exchange) -> None:
    _lines(exchange)
    exchange.hold()


@behaviour("ollama-cut")
def _ollama_cut(exchange: Exchange) -> None:
    _lines(exchange)
    exchange.close()


@behaviour("ollama-garbage")
def _ollama_garbage(exchange: Exchange) -> None:
    _lines(exchange)
    exchange.piece(b"no JSON\n")
    exchange.end_stream()


@behaviour("ollama-oversize")
def _ollama_oversize(exchange: Exchange) -> None:
    exchange.begin_stream(STREAM_TYPES["ollama"])
    for _ in range(9):
        exchange.piece(b"x" * 1024 * 1024)
    exchange.hold()


@behaviour("ollama-unfinished")
def _ollama_unfinished(exchange: Exchange) -> None:
    exchange.whole(200, _line(exchange, "x"))


@behaviour("ollama-no-model")
def _ollama_no_model(exchange: Exchange) -> None:
    exchange.whole(404, b'{"error":"model \\"x\\" not found, try pulling it first"}')


def _message(exchange: Exchange, text: str) -> bytes:
    counts = {"input_tokens": 7, "output_tokens": exchange.tuning.chunks}
    content = [{"type": "text", "text": text}]
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": exchange.call.model}
    return json.dumps({**message, "content": content, "stop_reason": "end_turn", "usage": counts}).encode()


def _event(exchange: Exchange, type: str, **fields: object) -> None:
    exchange.pause(exchange.tuning.pause_s)
    exchange.piece(f"event: {type}\ndata: {json.dumps({'type': type, **fields})}\n\n".encode())


def _begin_message(exchange: Exchange) -> None:
    exchange.begin_stream(STREAM_TYPES["anthropic"])
    usage = {"input_tokens": 7, "output_tokens": 1}
    _event(exchange, "message_start", message={"id": "msg_1", "role": "assistant", "content": [], "usage": usage})
    _event(exchange, "content_block_start", index=0, content_block={"type": "text", "text": ""})
    for word in answer_words(exchange.tuning.chunks):
        _event(exchange, "content_block_delta", index=0, delta={"type": "text_delta", "text": word})


def _end_message(exchange: Exchange) -> None:
    _event(exchange, "content_block_stop", index=0)
    usage = {"output_tokens": exchange.tuning.chunks}
    _event(exchange, "message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=usage)
    _event(exchange, "message_stop")


@behaviour("anthropic-ok")
def _anthropic_ok(exchange: Exchange) -> None:
    if not exchange.call.wants_stream:
        exchange.whole(200, _message(exchange, answer_text(exchange.tuning.chunks)))
        return
    _begin_message(exchange)
    _end_message(exchange)
    exchange.end_stream()


@behaviour("anthropic-ok-not-streamed")
def _anthropic_not_streamed(exchange: Exchange) -> None:
    exchange.whole(200, _message(exchange, answer_text()))


@behaviour("anthropic-limits")
def _anthropic_limits(exchange: Exchange) -> None:
    exchange.whole(200, _message(exchange, "x"), anthropic_ratelimit_requests_remaining="3")


@behaviour("anthropic-stop-held-open")
def _anthropic_stop_held_open(exchange: Exchange) -> None:
    _begin_message(exchange)
    _end_message(exchange)
    exchange.hold()


@behaviour("anthropic-stall")
def _anthropic_stall(exchange: Exchange) -> None:
    _begin_message(exchange)
    exchange.hold()


@behaviour("anthropic-cut")
def _anthropic_cut(exchange: Exchange) -> None:
    _begin_message(exchange)
    exchange.close()


@behaviour("anthropic-garbage")
def _anthropic_garbage(exchange: Exchange) -> None:
    _begin_message(exchange)
    exchange.piece(b"event: content_block_delta\ndata: no JSON\n\n")
    exchange.end_stream()


@behaviour("anthropic-disorder")
def _anthropic_disorder(exchange: Exchange) -> None:
    _begin_message(exchange)
    _event(exchange, "content_block_delta", index=5, delta={"type": "text_delta", "text": "x"})
    exchange.end_stream()


def _refuse(exchange: Exchange, status: int, type: str, message: str) -> None:
    exchange.whole(status, json.dumps({"type": "error", "error": {"type": type, "message": message}}).encode())


@behaviour("anthropic-too-long")
def _anthropic_too_long(exchange: Exchange) -> None:
    _refuse(exchange, 400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum")


@behaviour("anthropic-overloaded")
def _anthropic_overloaded(exchange: Exchange) -> None:
    _refuse(exchange, 529, "overloaded_error", "Overloaded")


@behaviour("anthropic-quotes-the-key")
def _anthropic_quotes_the_key(exchange: Exchange) -> None:
    _refuse(exchange, 400, "invalid_request_error", f"what is {exchange.call.headers['x-api-key']}?")

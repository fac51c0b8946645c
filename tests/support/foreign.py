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

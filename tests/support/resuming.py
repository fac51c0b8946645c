"""Behaviours of the test upstream that tell a text which the request itself names (`tell`), in pieces of `tell_size` characters.

`tell-cut` breaks off once it has told `tell_until` characters; `tell-on` goes on from the beginning of an answer that it is given, as
servers with a prefill do, and tells everything when it is given none; `tell-other` tells something else.
"""

from tests.support.behaviours import behaviour
from tests.support.exchange import Exchange, chunk, usage


@behaviour("tell-cut")
def _tell_cut(exchange: Exchange) -> None:
    exchange.begin_stream()
    _tell(exchange, exchange.call.json["tell"][: exchange.call.json["tell_until"]])
    if exchange.call.json.get("tell_call"):
        function = {"name": "look_up", "arguments": '{"wo'}
        call = {"index": 0, "id": "call_1", "type": "function", "function": function}
        _event(exchange, {"tool_calls": [call]})
    exchange.keep_open = False  # and the body has no end


@behaviour("tell-on")
def _tell_on(exchange: Exchange) -> None:
    asked = exchange.call.json
    last = asked["messages"][-1]
    begun = last["content"] if last["role"] == "assistant" else ""
    assert asked["tell"].startswith(begun)
    exchange.begin_stream()
    _tell(exchange, asked["tell"][len(begun) :])
    if asked.get("tell_call"):
        function = {"name": "look_up", "arguments": '{"word": "fox"}'}
        call = {"index": 0, "id": "call_2", "type": "function", "function": function}
        _event(exchange, {"tool_calls": [call]})
        _event(exchange, {}, "tool_calls")
    else:
        _event(exchange, {}, "stop")
    exchange.event({**chunk({}), "choices": [], "usage": usage(5)})
    exchange.done()


@behaviour("tell-other")
def _tell_other(exchange: Exchange) -> None:
    exchange.begin_stream()
    _tell(exchange, exchange.call.json["tell"].upper())
    exchange.finish()
    exchange.done()


def _tell(exchange: Exchange, text: str) -> None:
    size = exchange.call.json.get("tell_size", 7)
    _event(exchange, {"role": "assistant", "content": ""})
    for begin in range(0, len(text), size):
        _event(exchange, {"content": text[begin : begin + size]})


def _event(exchange: Exchange, delta: dict[str, object], finish_reason: str | None = None) -> None:
    """An event of an answer that is known by its model."""
    named = {"id": f"chatcmpl-{exchange.call.model}", "created": 1_700_000_000 + len(exchange.call.model)}
    exchange.event({**chunk(delta, finish_reason=finish_reason), **named})

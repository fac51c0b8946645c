"""What stream rules cost, by themselves: per chunk, to the first token, to load, and at their worst."""

import time
from collections.abc import Mapping, Sequence
from functools import partial

from tests.benchmarks.timing import best
from wardwright.domain.policy import StreamPolicy, StreamRule
from wardwright.domain.stream import Frame
from wardwright.policy.stream_rules import StreamRules
from wardwright.runtime.answer_policy import GovernedAnswer
from wardwright.wire.openai import parse_chunk

PROMISES: Mapping[str, float] = {
    "policy: guard a chunk, 20 rules": 5.0,
    "policy: guard a chunk, 1,000 rules": 12.0,
    "policy: begin an answer and guard its first chunk, 20 rules": 1000.0,
    "policy: load 1,000 rules": 1e6,
    "policy: a hostile chunk, hostile patterns": 1000.0,
}

_TEXT = "The quick brown fox jumps over the lazy dog and asks for nothing that is not allowed, for once. " * 40
# Patterns by which backtracking engines are brought to their knees, and a text for them.
_HOSTILE = ("(a+)+$", "([a-z]+)*!", "(a|aa)+b", "(.*a){12}", r"(\w+\s?)+#", "(x+x+)+y", "^(([a-z])+.)+[A-Z]([a-z])+$")
_HOSTILE_CHUNK = "aaaaxxxxaaaa aaaa"


def figures() -> dict[str, float]:
    """Microseconds, by what is done."""
    chunks = [_chunk(_TEXT[begin : begin + 12]) for begin in range(0, len(_TEXT), 12)]
    few, many = _rules(20), _rules(1000)
    return {
        "policy: guard a chunk, 20 rules": best(partial(_read, few, chunks)) / len(chunks),
        "policy: guard a chunk, 1,000 rules": best(partial(_read, many, chunks)) / len(chunks),
        "policy: begin an answer and guard its first chunk, 20 rules": best(partial(_read, few, chunks[:1])),
        "policy: load 1,000 rules": _load_time(),
        "policy: a hostile chunk, hostile patterns": _hostile_time(),
    }


def _rules(count: int, word: str = "forbidden") -> StreamRules:
    rules = [
        StreamRule(id=str(number), action="block", regex=f"(?i){word}{number}[a-z]{{2,6}}") for number in range(count)
    ]
    return StreamRules(rules, StreamPolicy())


def _read(rules: StreamRules, chunks: Sequence[Frame]) -> None:
    answer = GovernedAnswer(rules)
    for chunk in chunks:
        answer.feed((chunk,), 0.0)


def _load_time() -> float:
    began = time.process_time()
    _rules(1000, "unheard-of")
    return (time.process_time() - began) * 1e6


def _hostile_time() -> float:
    """The slowest of many chunks of one long text, after the automaton has seen its kind."""
    rules = StreamRules(
        [StreamRule(id=p, action="block", regex=p, horizon_bytes=4096) for p in _HOSTILE], StreamPolicy("full_buffer")
    )
    chunk = _chunk(_HOSTILE_CHUNK)
    _read(rules, [chunk] * 3)
    answer = GovernedAnswer(rules)
    slowest = 0.0
    for _ in range(2000):
        began = time.process_time()
        answer.feed((chunk,), 0.0)
        slowest = max(slowest, time.process_time() - began)
    return slowest * 1e6


def _chunk(text: str) -> Frame:
    choice = b'{"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}'
    return parse_chunk(choice % text.encode())

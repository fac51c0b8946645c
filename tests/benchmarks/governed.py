"""What stream rules cost, by themselves: per chunk, to the first token, to load, and at their worst."""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import msgspec

from tests.benchmarks.timing import best
from tests.support.redos import ATTACKS, Attack
from wardwright.domain.policy import StreamPolicy, StreamRule
from wardwright.domain.stream import Frame
from wardwright.policy.patterns import PatternError
from wardwright.policy.stream_rules import StreamRules
from wardwright.runtime.governed_answer import GovernedAnswer
from wardwright.wire.openai import parse_chunk

PROMISES: Mapping[str, float] = {
    "policy: guard a chunk, 20 rules": 5.0,
    "policy: guard a chunk, 1,000 rules": 12.0,
    "policy: begin an answer and guard its first chunk, 20 rules": 1000.0,
    "policy: load 1,000 rules": 1e6,
    "policy: the slowest event of a ReDoS collection": 1000.0,
}

_TEXT = "The quick brown fox jumps over the lazy dog and asks for nothing that is not allowed, for once. " * 40
_ATTACK = 2000
_EVENT = 16
_ATTEMPTS = 3


def figures() -> dict[str, float]:
    """Microseconds, by what is done."""
    chunks = [_chunk(_TEXT[begin : begin + 12]) for begin in range(0, len(_TEXT), 12)]
    few, many = _rules(20), _rules(1000)
    return {
        "policy: guard a chunk, 20 rules": best(partial(_read, few, chunks)) / len(chunks),
        "policy: guard a chunk, 1,000 rules": best(partial(_read, many, chunks)) / len(chunks),
        "policy: begin an answer and guard its first chunk, 20 rules": best(partial(_read, few, chunks[:1])),
        "policy: load 1,000 rules": _load_time(),
        "policy: the slowest event of a ReDoS collection": _hostile_time(),
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
    """The slowest event of all attacks on patterns that load, each read from its first event by rules that have seen nothing yet.

    The best of a few attempts counts for each event, so that what else the machine does is left out.
    """
    slowest = 0.0
    for attack in ATTACKS:
        if _loads(attack):
            taken = list(_attempts(attack))
            slowest = max(slowest, *(min(times) for times in zip(*taken, strict=True)))
    return slowest * 1e6


def _attempts(attack: Attack) -> Iterator[list[float]]:
    """What each event of an attack took, time and again."""
    text = attack.text(_ATTACK)
    events = [_chunk(text[begin : begin + _EVENT]) for begin in range(0, len(text), _EVENT)]
    for number in range(_ATTEMPTS):
        answer = GovernedAnswer(_rule(attack, f"attempt {number}"))
        taken = []
        for event in events:
            began = time.thread_time()
            answer.feed((event,), 0.0)
            taken.append(time.thread_time() - began)
        yield taken


def _loads(attack: Attack) -> bool:
    try:
        _rule(attack, "to see")
    except PatternError:
        return False
    return True


def _rule(attack: Attack, name: str) -> StreamRules:
    return StreamRules([StreamRule(id=name, action="block", regex=attack.pattern)], StreamPolicy("full_buffer"))


def _chunk(text: str) -> Frame:
    choice = b'{"choices":[{"index":0,"delta":{"content":%b},"finish_reason":null}]}'
    return parse_chunk(choice % msgspec.json.encode(text))

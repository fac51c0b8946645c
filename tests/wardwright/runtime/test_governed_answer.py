"""One answer that must have a form: nothing leaves before its end, then all of it or nothing, however it was cut into pieces."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wardwright.runtime.providers import chunk
from wardwright.domain.policy import StreamPolicy, StreamRule
from wardwright.domain.stream import Frame, Text
from wardwright.domain.structured import OutputFinding, OutputSchema, StructuredOutput
from wardwright.policy.resumption import Continuation, Transcript
from wardwright.policy.stream_rules import StreamRules
from wardwright.policy.structured_output import ModelDemand, OutputContract
from wardwright.runtime.governed_answer import GovernedAnswer
from wardwright.wire import openai_rejoin

SCHEMA = '{"type":"object","required":["a"]}'
CONTRACT = OutputContract([ModelDemand(StructuredOutput(schemas=(OutputSchema("s", SCHEMA),)))])
SOFTEN = StreamRule(id="r", action="rewrite", contains="no", replacement="yes")
BUFFERED = StreamPolicy("full_buffer")


def text_of(frames: Sequence[Frame]) -> str:
    return "".join(event.text for frame in frames for event in frame.events if isinstance(event, Text))


values = st.recursive(
    st.none() | st.integers(-9, 9) | st.sampled_from(["no", "é", "", '"', "[{"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=5,
)
texts = (
    values.map(json.dumps) | values.map(lambda value: json.dumps(value, ensure_ascii=False)[:-1]) | st.text(max_size=9)
)


@settings(max_examples=100, deadline=None)
@given(text=texts, cuts=st.lists(st.integers(0, 40), max_size=6), rules=st.sampled_from([(), (SOFTEN,)]))
def test_all_of_it_leaves_at_the_end_or_nothing(text: str, cuts: list[int], rules: tuple[StreamRule, ...]) -> None:
    answer = GovernedAnswer(StreamRules(rules, BUFFERED), CONTRACT)
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[begin:end] for begin, end in pairwise(places)]
    for piece in pieces:
        assert not answer.feed([chunk({"content": piece})], 0.0)
    left = answer.finish(0.0)

    seen = text.replace("no", "yes") if rules else text
    assert answer.generated_bytes == len(text.encode())
    if _is_good(seen):
        assert text_of(left) == seen
        assert (answer.violation, answer.output, answer.released_bytes) == (
            None,
            OutputFinding(True, "s"),
            len(seen.encode()),
        )
    else:
        assert not left
        assert answer.is_stopped
        assert answer.violation is not None
        assert answer.released_bytes == 0


def test_more_than_may_be_held_ends_it_unjudged() -> None:
    answer = GovernedAnswer(StreamRules((), StreamPolicy("full_buffer", max_hold_bytes=100)), CONTRACT)
    answer.feed([chunk({"content": "x" * 200})], 0.0)
    assert not answer.finish(0.0)
    finding = answer.finding()
    assert finding is not None
    assert finding.hold_exceeded_bytes is not None
    assert (answer.is_stopped, answer.is_overfull, answer.violation) == (True, True, None)


def _is_good(text: str) -> bool:
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return isinstance(value, dict) and "a" in value


@pytest.mark.parametrize("by", ["prefill", "repeat"])
@pytest.mark.parametrize(("rest", "is_good"), [("1}", True), ("1", False)])
def test_an_answer_that_goes_on_with_another_is_judged_with_it(
    by: Literal["prefill", "repeat"], rest: str, is_good: bool
) -> None:
    transcript = Transcript(openai_rejoin)
    transcript.note([chunk({"content": '{"a":'})])
    continuation = Continuation(transcript, by, None, openai_rejoin)
    answer = GovernedAnswer(StreamRules((), BUFFERED), CONTRACT, continuation)
    answer.feed([chunk({"content": rest if by == "prefill" else '{"a":' + rest})], 0.0)
    left = answer.finish(0.0)
    assert text_of(left) == (rest if is_good else "")
    assert (answer.violation is None) is is_good

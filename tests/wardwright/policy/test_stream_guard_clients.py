"""What a client makes of a guarded stream: the openai client's own accumulator, which is strict about the order of chunks."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.wardwright.policy.streams import (
    EVERYWHERE,
    MODES,
    answers,
    as_bytes,
    by_text,
    cuts,
    guard_of,
    guarded,
    message_of,
    one_by_one,
    reads_of,
    rendered,
    rule_lists,
)
from wardwright.domain.policy import StreamRule
from wardwright.domain.stream import Frame, Reasoning, Text, ToolArguments, ToolCallStart
from wardwright.wire.openai import ChoiceOrder

INNOCENT = [
    StreamRule(id="block", action="block", contains="OldClient(Z", on=EVERYWHERE),
    StreamRule(id="rewrite", action="rewrite", regex="(?i)[ab]{1,3}Z", on=EVERYWHERE),
    StreamRule(id="drop", action="drop", contains="bZ", on=EVERYWHERE),
]
CONTENT = (Text, Reasoning, ToolCallStart, ToolArguments)
CONTENT = (Text, Reasoning, ToolCallStart, ToolArguments)


def is_bare(frame: Frame) -> bool:
    """Whether a frame is of one choice and has no text."""
    (sent,) = rendered([frame])
    return len(sent["choices"]) == 1 and not any(isinstance(event, CONTENT) for event in frame.events)


@given(answers(choices=3), MODES, st.data())
def test_a_client_sees_the_same_message_with_rules_that_find_nothing(
    chunks: list[dict[str, Any]], mode: str, data: st.DataObject
) -> None:
    reads = reads_of(chunks, data.draw(cuts(len(as_bytes(chunks)))))
    before = [one for read in reads for one in read]
    guard = guard_of(INNOCENT, mode)
    after = guarded(guard, reads)
    sent = ChoiceOrder(3).arrange(after)
    assert message_of(rendered(sent)) == message_of(one_by_one(rendered(before)))
    assert guard.account.generated == guard.account.released
    assert all(frame in after for frame in before if is_bare(frame))


@given(rule_lists(), answers(choices=3), MODES, st.data())
def test_a_client_can_read_whatever_rules_let_go(
    rules: list[StreamRule], chunks: list[dict[str, Any]], mode: str, data: st.DataObject
) -> None:
    left = guarded(guard_of(rules, mode), reads_of(chunks, data.draw(cuts(len(as_bytes(chunks))))))
    if not left:
        return
    choices = message_of(rendered(ChoiceOrder(3).arrange(left)))["choices"]
    assert [choice["index"] for choice in choices] == list(range(len(choices)))
    for (kind, index, call), text in by_text(left).items():
        message = choices[index]["message"]
        if kind == "Text":
            assert message["content"] == text
        elif kind == "Reasoning":
            assert message["reasoning_content"] == text
        else:
            assert message["tool_calls"][call]["function"]["arguments"] == text
    assert all(choice["message"]["role"] == "assistant" for choice in choices)

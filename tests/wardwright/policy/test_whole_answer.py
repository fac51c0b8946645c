"""Rules over an answer in one piece: the texts that are others now, and whether it may be given at all."""

from wardwright.domain.policy import StreamPolicy, StreamRule
from wardwright.domain.stream import Finish, Place, Reasoning, StreamEvent, Text, ToolArguments, ToolCallStart
from wardwright.policy.stream_rules import CHANNELS, StreamRules
from wardwright.policy.whole_answer import Judged, judge

EVENTS: list[StreamEvent] = [
    Reasoning(0, "so OldClient( it is"),
    Text(0, "use OldClient(x)"),
    Text(1, "use NewClient(x)"),
    ToolCallStart(0, 0, "c", "run"),
    ToolArguments(0, 0, '{"code": "Old\\u0043lient("}'),
    Finish(0, "stop"),
]


def judged(*rules: StreamRule, mode: str = "horizon") -> Judged:
    return judge(StreamRules(rules, StreamPolicy(mode=mode)), EVENTS)  # type: ignore[arg-type]


def test_an_answer_without_a_match_is_not_changed() -> None:
    found = judged(StreamRule(id="r", action="block", contains="nothing like it"))
    assert found.changed == {}
    assert found.guard.tripped is None
    assert found.guard.account.released == found.guard.account.generated


def test_every_text_is_changed_for_itself() -> None:
    rule = StreamRule(id="r", action="rewrite", contains="OldClient(", replacement="NewClient(", on=CHANNELS)
    assert judged(rule).changed == {
        Place(0, "reasoning"): "so NewClient( it is",
        Place(0, "text"): "use NewClient(x)",
        Place(0, "tool_arguments"): '{"code": "NewClient("}',
    }
    assert judged(rule, mode="full_buffer").changed == judged(rule).changed


def test_a_text_may_be_dropped_whole() -> None:
    rule = StreamRule(id="r", action="drop", regex="use OldClient.x.")
    assert judged(rule).changed == {Place(0, "text"): ""}


def test_an_answer_that_breaks_a_rule_is_not_to_be_given() -> None:
    found = judged(StreamRule(id="r", action="block", contains="OldClient("))
    assert found.guard.tripped is not None
    assert found.changed == {}
    assert found.guard.account.released == 0

"""Frames under rules: what leaves and in which shape, what is held, and that nothing of it depends on how the answer was cut."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.effort import bytecodes
from tests.wardwright.policy.reference import matches
from tests.wardwright.policy.streams import (
    EVERYWHERE,
    MODES,
    answers,
    as_bytes,
    by_text,
    call_chunk,
    chunk,
    cuts,
    echoing_answers,
    guard_of,
    guarded,
    reads_of,
    rendered,
    rule_lists,
    text_chunk,
)
from wardwright.domain.policy import RuleFired, StreamAction, StreamRule
from wardwright.domain.stream import Frame, Reasoning, Text, ToolArguments, ToolCallStart
from wardwright.policy.stream_guard import EVENTS_KEPT, StreamGuard
from wardwright.policy.stream_rules import most_held_bytes
from wardwright.wire.openai import parse_chunk

OLD = "OldClient("


def rule(action: StreamAction, contains: str | None = OLD, **fields: Any) -> StreamRule:
    return StreamRule(id=fields.pop("id", action), action=action, contains=contains, **fields)


def frame(fields: dict[str, Any]) -> Frame:
    return parse_chunk(json.dumps(fields).encode())


def texts(*pieces: str) -> list[list[Frame]]:
    """A stream of text alone, every piece a read of its own."""
    return [*([frame(text_chunk(piece))] for piece in pieces), [frame(chunk({}, "stop"))]]


def said(frames: Sequence[Frame], kind: type[Text | Reasoning] = Text) -> str:
    return "".join(event.text for one in frames for event in one.events if isinstance(event, kind))


def fed(guard: StreamGuard, reads: Sequence[Sequence[Frame]]) -> list[str]:
    """The text that leaves with each read, and at the end."""
    return [*(said(guard.feed(frames, 0.0)) for frames in reads), said(guard.finish(0.0))]


class TestText:
    def test_frames_without_a_match_leave_as_they_came(self) -> None:
        reads = texts("alpha ", "beta ", "gamma")
        guard = guard_of([rule("block")])
        assert guarded(guard, reads) == [one for read in reads for one in read]
        assert (guard.account.generated, guard.account.released, guard.account.max_held) == (16, 16, 0)

    def test_a_frame_that_was_held_in_vain_leaves_late_and_whole(self) -> None:
        reads = texts("an ", "Old", "Cli", "ché")
        guard = guard_of([rule("block")])
        assert fed(guard, reads) == ["an ", "", "", "OldCliché", "", ""]
        assert guarded(guard_of([rule("block")]), reads) == [one for read in reads for one in read]
        assert guard.account.max_held == 6

    def test_a_frame_is_cut_where_a_match_may_begin(self) -> None:
        first, second, third = guarded(guard_of([rule("block")]), texts("an Old", " hat"))[:3]
        assert [said([first]), said([second]), said([third])] == ["an ", "Old", " hat"]
        assert [one.fields["id"] for one in (first, second)] == [third.fields["id"]] * 2
        assert bytes(first.fields["x_own"]) == b'{"a": 1}', "what nobody here knows"
        logprobs = [rendered([one])[0]["choices"][0].get("logprobs") for one in (first, second)]
        assert logprobs[0] is None, "it would name what is still held"
        assert logprobs[1]["content"][0]["token"] == "an Old"

    def test_a_blocked_answer_ends_with_what_had_left_before(self) -> None:
        guard = guard_of([rule("block")])
        assert fed(guard, texts("safe prefix that can release ", "Old", "Client(arg)", "more")) == [
            "safe prefix that can release ", "", "", "", "", "",
        ]  # fmt: skip
        assert guard.tripped is not None
        assert guard.fired == [RuleFired("block", "block", "text", 2, 29, 39, "stream_window", "literal")]
        account = guard.account
        assert (account.generated, account.released, account.held) == (43, 29, 14)

    def test_of_the_read_that_ends_an_answer_nothing_leaves(self) -> None:
        guard = guard_of([rule("retry")])
        assert guard.feed([frame(text_chunk("use ")), frame(text_chunk(OLD))], 0.0) == []
        assert (guard.account.released, guard.account.held) == (0, 14)

    def test_a_match_is_replaced_wherever_it_is_cut(self) -> None:
        guard = guard_of([rule("rewrite", replacement="NewClient(")])
        assert "".join(fed(guard, texts("call Old", "Client(arg) now"))) == "call NewClient(arg) now"
        account = guard.account
        assert (account.generated, account.released, account.rewritten, account.inserted) == (23, 23, 10, 10)

    def test_the_role_survives_the_text_it_came_with(self) -> None:
        reads = [[frame(chunk({"role": "assistant", "content": "DROP"}))], *texts("rest")]
        left = rendered(guarded(guard_of([rule("drop", "DROP")]), reads))
        assert left[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert left[1]["choices"][0]["delta"] == {"content": "rest"}

    def test_a_refusal_is_read_like_text_and_stays_a_refusal(self) -> None:
        reads = [[frame(chunk({"refusal": "my Old"}))], [frame(chunk({}, "stop"))]]
        left = rendered(guarded(guard_of([rule("block")]), reads))
        assert [one["choices"][0]["delta"] for one in left] == [{"refusal": "my "}, {"refusal": "Old"}, {}]

    def test_what_follows_the_end_of_a_choice_never_leaves(self) -> None:
        guard = guard_of([rule("block")])
        reads = [*texts("Old"), [frame(text_chunk("Client("))]]
        assert said(guarded(guard, reads)) == "Old"
        assert (guard.account.generated, guard.account.released) == (10, 3)


class TestChannels:
    def test_what_one_text_holds_holds_up_no_other(self) -> None:
        guard = guard_of([rule("block", on=EVERYWHERE)])
        assert guard.feed([frame(chunk({"reasoning_content": "Old"}))], 0.0) == []
        assert said(guard.feed([frame(text_chunk("answer"))], 0.0)) == "answer"
        left = guard.feed([frame(chunk({}, "stop"))], 0.0)
        assert [said([one], Reasoning) for one in left] == ["Old", ""]

    def test_choices_are_read_for_themselves(self) -> None:
        reads = [[frame(text_chunk("Old", index=0))], [frame(text_chunk("Client(", index=1))]]
        guard = guard_of([rule("block")])
        assert said(guarded(guard, reads)) == "Client(Old"
        assert guard.tripped is None

    def test_the_end_of_one_choice_beside_the_words_of_another_ends_that_one_alone(self) -> None:
        both = chunk({"content": "a Old"})
        both["choices"] += chunk({}, "stop", index=1)["choices"]
        guard = guard_of([rule("block", on=EVERYWHERE)])
        assert fed(guard, [[frame(both)], [frame(text_chunk(" hat"))]]) == ["a ", "Old hat", ""]
        call = call_chunk(0, '{"a"', "f")
        call["choices"] += chunk({}, "stop", index=1)["choices"]
        rest = [frame(call_chunk(0, ": 1}")), frame(chunk({}, "tool_calls"))]
        left = guarded(guard_of([rule("block", on=EVERYWHERE)]), [[frame(call)], rest])
        assert [event.text for one in left for event in one.events if isinstance(event, ToolArguments)] == [
            '{"a"', ": 1}",
        ]  # fmt: skip

    def test_an_empty_piece_of_a_held_call_beside_the_words_of_another_choice_waits(self) -> None:
        words, piece = chunk({"content": "word"}, index=1), call_chunk(0, "")
        begun = call_chunk(0, "{}", "f")
        reads = [[frame(begun)], [frame({**words, "choices": [*piece["choices"], *words["choices"]]})]]
        guard = guard_of([rule("block")])
        left = [[one["choices"] for one in rendered(guard.feed(frames, 0.0))] for frames in reads]
        assert left == [[], [words["choices"]]]
        assert [one["choices"] for one in rendered(guard.finish(0.0))] == [begun["choices"], piece["choices"]]

    def test_an_empty_piece_beside_a_piece_of_another_choice_waits_with_its_own(self) -> None:
        begun = [call_chunk(0, "{}", "f"), call_chunk(0, "[", "f", index=1)]
        empty, piece, end = call_chunk(0, ""), call_chunk(0, "]", index=1), chunk({}, "tool_calls", index=1)
        both = {**piece, "choices": [*empty["choices"], *piece["choices"]]}
        guard = guard_of([rule("block")])
        left = guard.feed([frame(one) for one in (*begun, both, end)], 0.0)
        assert [one["choices"] for one in rendered(left)] == [one["choices"] for one in (begun[1], piece, end)]
        assert guard.feed([frame(call_chunk(0, "more", index=1))], 0.0) == [], "its choice has ended"
        assert [one["choices"] for one in rendered(guard.finish(0.0))] == [begun[0]["choices"], empty["choices"]]

    def test_a_rule_reads_its_own_channels_alone(self) -> None:
        reads = [[frame(chunk({"reasoning_content": OLD}))], *texts("fine")]
        assert guarded(guard_of([rule("block", on=("text",))]), reads) == [one for read in reads for one in read]

    def test_reasoning_under_two_names_is_changed_under_both(self) -> None:
        delta = {"reasoning": "a b", "reasoning_content": "a b", "reasoning_details": [{"text": "a b"}]}
        reads = [[frame(chunk(delta))], [frame(chunk({}, "stop"))]]
        left = rendered(guarded(guard_of([rule("drop", "b", on=("reasoning",))]), reads))
        assert left[0]["choices"][0]["delta"] == {"reasoning": "a ", "reasoning_content": "a "}


CALLS = [
    [frame(call_chunk(0, '{"code": "Old', "run"))],
    [frame(call_chunk(1, '{"x"', "look"))],
    [frame(call_chunk(1, ": 1}")), frame(call_chunk(0, 'Client(1)"}'))],
    [frame(chunk({}, "tool_calls"))],
]


class TestToolCalls:
    def test_no_call_leaves_before_its_choice_ends(self) -> None:
        guard = guard_of([rule("block", "nothing like it")])
        left = [list(guard.feed(frames, 0.0)) for frames in CALLS]
        assert left == [[], [], [], [one for read in CALLS for one in read]]
        assert guard.account.held == 0

    def test_a_call_that_breaks_a_rule_ends_the_answer(self) -> None:
        guard = guard_of([rule("retry")])
        assert guarded(guard, CALLS) == []
        assert guard.fired == [
            RuleFired("retry", "retry", "tool_arguments", 1, 10, 20, "stream_window", "literal", call=0)
        ]

    def test_changed_arguments_leave_in_one_piece(self) -> None:
        left = rendered(guarded(guard_of([rule("rewrite", replacement="NewClient(")]), CALLS))
        calls = [one["choices"][0]["delta"].get("tool_calls", [{}])[0] for one in left]
        assert [(one.get("index"), one.get("function", {}).get("arguments")) for one in calls] == [
            (0, '{"code": "NewClient(1)"}'), (1, '{"x"'), (1, ": 1}"), (None, None),
        ]  # fmt: skip

    def test_the_input_of_a_custom_tool_is_free_text(self) -> None:
        def custom(text: str, **more: Any) -> Frame:
            return frame(chunk({"tool_calls": [{"index": 0, "custom": {"input": text, **more}}]}))

        reads = [[custom("run \\u0041 Old", name="sh")], [custom("Client(x")], [frame(chunk({}, "tool_calls"))]]
        guard = guard_of([rule("rewrite", replacement="New("), rule("drop", "A")])
        left = "".join(
            event.text for one in guarded(guard, reads) for event in one.events if isinstance(event, ToolArguments)
        )
        assert left == "run \\u0041 New(x"
        blocked = guard_of([rule("block")])
        assert guarded(blocked, reads) == []
        assert blocked.tripped is not None

    def test_arguments_that_a_rule_makes_no_json_of_end_the_answer(self) -> None:
        guard = guard_of([rule("rewrite", replacement='"')])
        assert guarded(guard, CALLS) == []
        assert guard.tripped is not None

    def test_no_spelling_of_a_letter_evades_a_rule(self) -> None:
        guard = guard_of([rule("block")])
        guarded(
            guard, [[frame(call_chunk(0, '{"code": "Old\\u00', "run"))], [frame(call_chunk(0, '43lient\\u0028"}'))]]
        )
        assert guard.tripped is not None

    def test_calls_that_no_rule_reads_are_not_held(self) -> None:
        reads = CALLS
        assert guarded(guard_of([rule("block", on=("text",))]), reads) == [one for read in reads for one in read]

    def test_an_empty_piece_of_a_call_keeps_its_place(self) -> None:
        reads = [[frame(call_chunk(0, "{}", "f"))], [frame(call_chunk(0, ""))], [frame(chunk({}, "tool_calls"))]]
        assert guarded(guard_of([rule("block")]), reads) == [one for read in reads for one in read]

    def test_an_empty_piece_waits_with_the_calls_of_its_own_choice(self) -> None:
        own = [call_chunk(0, "{}", "f"), call_chunk(1, "{}", "g")]
        other = call_chunk(0, "{}", "f", index=1)
        reads = [[frame(one)] for one in (*own, other, call_chunk(1, ""))]
        guard = guard_of([rule("block")])
        assert [list(guard.feed(frames, 0.0)) for frames in reads] == [[], [], [], []]
        end = frame(chunk({}, "tool_calls", index=1))
        assert guard.feed([end], 0.0) == [frame(other), end]
        assert guard.finish(0.0) == [*map(frame, own), frame(call_chunk(1, ""))]

    def test_what_says_nothing_of_a_held_call_leaves_at_once(self) -> None:
        bare = [frame(chunk({}, index=1)), frame({"choices": [], "prompt_filter_results": []})]
        guard = guard_of([rule("block")])
        guard.feed([frame(call_chunk(0, "{}", "f"))], 0.0)
        assert guard.feed(bare, 0.0) == bare

    def test_text_beside_a_call_leaves_at_once(self) -> None:
        both = chunk(
            {"content": "see:", "tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]}
        )
        guard = guard_of([rule("block")])
        assert said(guard.feed([frame(both)], 0.0)) == "see:"
        assert [type(event) for one in guard.finish(0.0) for event in one.events] == [ToolCallStart, ToolArguments]


class TestModes:
    def test_a_full_buffer_lets_go_of_everything_at_the_end(self) -> None:
        guard = guard_of([rule("block")], "full_buffer")
        reads = texts("a ", "b")
        assert [list(guard.feed(frames, 0.0)) for frames in reads] == [[], [], []]
        assert (guard.account.released, guard.account.held) == (0, 3)
        assert guard.finish(0.0) == [one for read in reads for one in read]
        assert (guard.account.released, guard.account.held, guard.account.max_held) == (3, 0, 3)

    def test_text_leaves_by_sentences(self) -> None:
        guard = guard_of([rule("block")], "semantic_boundary")
        assert fed(guard, texts("One. Tw", "o! ", "Three")) == ["One. ", "Two! ", "", "Three", ""]

    def test_rules_are_asked_before_the_boundary(self) -> None:
        guard = guard_of([rule("rewrite", "Two", replacement="2")], "semantic_boundary")
        assert "".join(fed(guard, texts("One. Tw", "o! ", "Three"))) == "One. 2! Three"


class TestHolding:
    def test_the_oldest_held_text_says_when_patience_ends(self) -> None:
        guard = guard_of([rule("block")], max_hold_ms=5)
        guard.feed([frame(text_chunk("free"))], 99.0)
        assert guard.overdue_at() is None
        guard.feed([frame(text_chunk("O"))], 100.0)
        guard.feed([frame(text_chunk("ld"))], 101.0)
        assert guard.overdue_at() == pytest.approx(100.005)
        guard.feed([frame(text_chunk("er, O"))], 102.0)
        assert guard.overdue_at() == pytest.approx(102.005), "the age is that of each byte, not of the stream"

    def test_events_are_kept_up_to_a_limit_and_all_counted(self) -> None:
        guard = guard_of([rule("annotate", "a")])
        guarded(guard, texts("a" * 1000))
        assert (len(guard.fired), guard.trigger_count) == (EVENTS_KEPT, 1000)
        assert guard.fired_rules == {"annotate"}


# --- properties


@given(rule_lists(), answers(), MODES, st.data())
def test_the_cut_into_reads_never_shows(
    rules: list[StreamRule], chunks: list[dict[str, Any]], mode: str, data: st.DataObject
) -> None:
    length = len(as_bytes(chunks))
    one, other = guard_of(rules, mode), guard_of(rules, mode)
    left = guarded(one, reads_of(chunks, [(0, length)]))
    also_left = guarded(other, reads_of(chunks, data.draw(cuts(length))))
    assert one.fired == other.fired
    assert one.tripped == other.tripped
    if one.tripped is None:
        assert by_text(left) == by_text(also_left)
    else:
        for place, text in by_text(left).items():  # of the last read nothing leaves, so more may have left before
            assert by_text(also_left)[place].startswith(text)


@given(rule_lists(), answers(), MODES, st.data())
def test_every_byte_is_accounted_for(
    rules: list[StreamRule], chunks: list[dict[str, Any]], mode: str, data: st.DataObject
) -> None:
    guard = guard_of(rules, mode)
    account, released = guard.account, 0
    reads = reads_of(chunks, data.draw(cuts(len(as_bytes(chunks)))))
    for frames in reads:
        released += sum(len(text.encode()) for text in by_text(guard.feed(frames, 0.0)).values())
        assert account.released == released
        assert 0 <= account.held <= account.max_held
    released += sum(len(text.encode()) for text in by_text(guard.finish(0.0)).values())
    assert account.released == released
    generated = sum(len(text.encode()) for text in by_text([one for read in reads for one in read]).values())
    if guard.tripped is None:
        assert account.generated == generated
        assert account.held == 0
        assert account.generated + account.inserted == account.released + account.rewritten
    assert account.generated <= generated


@given(rule_lists(), answers(), st.data())
def test_nothing_that_left_has_a_match_of_a_rule_that_ends_answers(
    rules: list[StreamRule], chunks: list[dict[str, Any]], data: st.DataObject
) -> None:
    channels = {"Text": "text", "Reasoning": "reasoning", "ToolArguments": "tool_arguments"}
    left = by_text(guarded(guard_of(rules), reads_of(chunks, data.draw(cuts(len(as_bytes(chunks)))))))
    for number, watching in enumerate(rules):
        if watching.action in ("block", "retry") and not any(later.is_changing for later in rules[number + 1 :]):
            for (kind, _, _), text in left.items():
                if channels[kind] in watching.on:
                    assert matches(watching, text) == []


def everything_in(chunks: Sequence[dict[str, Any]]) -> dict[str, str]:
    """All that chunks say, under whatever name: the texts of each place in them, one behind the other."""
    found: dict[str, str] = defaultdict(str)

    def walk(value: Any, place: str) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                if name not in ("role", "id", "type", "name", "finish_reason"):
                    walk(inner, f"{place}.{name}")
        elif isinstance(value, list) and value and all(isinstance(one, int) for one in value):
            found[place] += bytes(value).decode("utf-8", "replace")
        elif isinstance(value, list):
            for inner in value:
                walk(inner, place)
        elif isinstance(value, str):
            found[place] += value

    for one in chunks:
        walk(one["choices"], "")
    return found


@given(echoing_answers(), st.sampled_from(["Old", "ldC", "t("]), MODES, st.data())
def test_nothing_that_left_has_a_match_in_any_form(
    chunks: list[dict[str, Any]], literal: str, mode: str, data: st.DataObject
) -> None:
    watching = rule("block", literal, on=EVERYWHERE)
    guard = guard_of([watching], mode)
    said = everything_in(rendered(guarded(guard, reads_of(chunks, data.draw(cuts(len(as_bytes(chunks))))))))
    for place, text in said.items():
        assert literal not in text, place
    assert ".delta.audio.data" not in said, "sound cannot be read"


@given(echoing_answers(), st.data())
def test_who_only_observes_changes_nothing_in_any_form(chunks: list[dict[str, Any]], data: st.DataObject) -> None:
    reads = reads_of(chunks, data.draw(cuts(len(as_bytes(chunks)))))
    watching = [rule("annotate", "Old", on=("text",)), rule("block", "Old", on=("text",), shadow=True, id="s")]
    assert guarded(guard_of(watching), reads) == [one for read in reads for one in read]


@given(answers(choices=1), st.text("abOld(C", min_size=1, max_size=5), st.data())
def test_holding_stays_within_what_is_stated(chunks: list[dict[str, Any]], literal: str, data: st.DataObject) -> None:
    watching = rule("block", literal, on=("text",))
    guard = guard_of([watching])
    for frames in reads_of(chunks, data.draw(cuts(len(as_bytes(chunks))))):
        guard.feed(frames, 0.0)
        if guard.tripped is None:
            assert guard.account.held <= (most_held_bytes(watching) or 0)


@given(answers(), rule_lists(), MODES, st.integers(100, 3000), st.data())
def test_no_more_of_a_stream_is_held_than_may_be(
    chunks: list[dict[str, Any]], rules: list[StreamRule], mode: str, most: int, data: st.DataObject
) -> None:
    guard = guard_of(rules, mode, max_hold_bytes=most)
    left: list[Frame] = []
    for frames in reads_of(chunks, data.draw(cuts(len(as_bytes(chunks))))):
        left += guard.feed(frames, 0.0)
        assert guard.is_overfull is (guard.load_bytes > most)
        if guard.is_overfull:
            assert guard.feed(frames, 0.0) == guard.finish(0.0) == []
            return
    left += guard.finish(0.0)
    if guard.tripped is None and not guard.is_overfull:
        assert mode == "full_buffer" or guard.load_bytes == 0
        assert by_text(left) == by_text(guarded(guard_of(rules, mode), reads_of(chunks, [(0, len(as_bytes(chunks)))])))


@given(answers(), rule_lists())
def test_tool_calls_that_leave_are_whole_json(chunks: list[dict[str, Any]], rules: list[StreamRule]) -> None:
    governed = [StreamRule(id="calls", action="block", contains="Old", on=("tool_arguments",)), *rules]
    guard = guard_of(governed)
    left = guarded(guard, reads_of(chunks, [(0, len(as_bytes(chunks)))]))
    for (kind, _, _), text in by_text(left).items():
        if kind == "ToolArguments":
            json.loads(text)


def test_rules_that_find_nothing_cost_little_however_many_they_are() -> None:
    text = "The quick brown fox jumps over the lazy dog and asks for nothing that is not allowed, for once. " * 10
    reads = [[frame(text_chunk(text[begin : begin + 12]))] for begin in range(0, len(text), 12)]

    def guarding(count: int) -> Callable[[], None]:
        words = [f"(?i)forbidden{number}[a-z]{{2,6}}" for number in range(count)]
        rules = [rule("block", None, regex=word, id=str(number)) for number, word in enumerate(words)]

        def guard_all() -> None:
            guard = guard_of(rules)
            for frames in reads:
                guard.feed(frames, 0.0)

        guard_all()  # whatever is worked out once has been
        return guard_all

    few, many = guarding(20), guarding(1000)
    assert bytecodes(few) < 1700 * len(reads)
    assert bytecodes(many) < 2 * bytecodes(few)

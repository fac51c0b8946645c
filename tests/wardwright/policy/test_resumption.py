"""Going on with a broken answer: wherever it broke and however both answers were cut, the client reads one answer, or none is given."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from tests.wardwright.policy.reference import matches, outcome
from tests.wardwright.policy.streams import call_chunk, chunk, guard_of, rendered, text_chunk
from wardwright.domain.chat import Usage
from wardwright.domain.policy import StreamAction, StreamRule
from wardwright.domain.stream import Frame, ResumedBy, Text
from wardwright.policy.resumption import LONGEST, Continuation, Transcript, given_text, way_to_resume
from wardwright.policy.stream_guard import StreamGuard
from wardwright.wire import openai_rejoin
from wardwright.wire.openai import StreamShape, parse_chunk

OLD = "OldClient("
SPENT = Usage(10, 5)


def rule(action: StreamAction, contains: str = OLD, **fields: Any) -> StreamRule:
    return StreamRule(id=fields.pop("id", action), action=action, contains=contains, **fields)


def stream_of(*chunks: dict[str, Any], answer_id: str = "c1") -> list[Frame]:
    """The frames of an answer, as an adapter hands them on."""
    shape = StreamShape()
    frames = (parse_chunk(json.dumps({**one, "id": answer_id}).encode()) for one in chunks)
    return [kept for frame in frames for kept in shape.observe(frame)]


def texts(*pieces: str, finish: str = "stop", answer_id: str = "c1") -> list[Frame]:
    head = chunk({"role": "assistant", "content": ""})
    return stream_of(head, *map(text_chunk, pieces), chunk({}, finish), answer_id=answer_id)


def said(frames: Sequence[Frame]) -> str:
    return "".join(event.text for one in frames for event in one.events if isinstance(event, Text))


def broken_off(frames: Sequence[Frame], guard: StreamGuard | None = None) -> tuple[Transcript, list[Frame]]:
    """What the client has got of frames behind which a stream broke."""
    transcript = Transcript(openai_rejoin)
    left = list((guard or guard_of([])).feed(frames, 0.0))
    transcript.note(left)
    return transcript, left


def going_on(
    transcript: Transcript,
    by: ResumedBy,
    frames: Sequence[Frame],
    guard: StreamGuard | None = None,
    *,
    end: bool = True,
) -> tuple[Continuation, list[Frame]]:
    """What leaves of an answer that goes on, a frame a read."""
    guard, continuation = guard or guard_of([]), Continuation(transcript, by, SPENT, openai_rejoin)
    if by == "prefill":
        for channel, text in continuation.released.items():
            guard.tell(channel, continuation.choice, text)
    left: list[Frame] = []
    for frame in frames:
        left += continuation.leaving(guard.feed(continuation.arriving([frame]), 0.0))
    if end:
        left += continuation.leaving(guard.finish(0.0))
    return continuation, left


class TestTranscript:
    def test_it_has_what_was_released(self) -> None:
        transcript, _ = broken_off(texts("one ", "two")[:-1])
        assert transcript.can_be_continued
        assert (transcript.text(), transcript.size("text"), transcript.text("reasoning")) == ("one two", 7, "")

    def test_it_has_every_line_end_as_it_came(self) -> None:
        transcript, _ = broken_off(texts("a\r\nb\rc\n", "d")[:-1])
        assert transcript.text() == "a\r\nb\rc\nd"

    def test_what_was_held_is_no_part_of_it(self) -> None:
        transcript, _ = broken_off(texts("call Old")[:-1], guard_of([rule("block")]))
        assert transcript.text() == "call "

    def test_nothing_can_go_on_from_nothing(self) -> None:
        transcript, _ = broken_off(texts("Old")[:-1], guard_of([rule("block")]))
        assert not transcript.can_be_continued

    def test_nothing_can_go_on_behind_an_end(self) -> None:
        transcript, _ = broken_off(texts("whole"))
        assert not transcript.can_be_continued

    def test_nothing_can_go_on_from_a_tool_call(self) -> None:
        transcript, _ = broken_off(stream_of(text_chunk("I call "), call_chunk(0, '{"a', "f")))
        assert not transcript.can_be_continued

    def test_nothing_can_go_on_from_several_choices(self) -> None:
        transcript, _ = broken_off(stream_of(text_chunk("one"), text_chunk("other", index=1)))
        assert not transcript.can_be_continued

    def test_what_is_too_long_is_given_up_and_let_go(self) -> None:
        transcript, _ = broken_off(texts("x" * LONGEST, "x")[:-1])
        assert not transcript.can_be_continued
        assert transcript.size("text") == 0


class TestTheWay:
    def test_who_takes_a_beginning_is_given_one(self) -> None:
        transcript, _ = broken_off(texts("one \n")[:-1])
        assert way_to_resume(transcript, has_prefill=True) == "prefill"
        assert given_text(transcript) == "one", "models go on badly from white space"
        assert way_to_resume(transcript, has_prefill=False) == "repeat"

    def test_without_text_there_is_no_beginning_to_give(self) -> None:
        transcript, _ = broken_off(stream_of(chunk({"reasoning_content": "hm"})))
        assert way_to_resume(transcript, has_prefill=True) == "repeat"


class TestPrefill:
    def test_the_client_reads_one_answer(self) -> None:
        transcript, first = broken_off(texts("one ", "two")[:-1])
        usage = {**chunk({}), "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}
        later = [*texts(" three", finish="length", answer_id="c2"), *stream_of(usage, answer_id="c2")]
        _, second = going_on(transcript, "prefill", later)
        chunks = rendered([*first, *second])
        assert {one["id"] for one in chunks} == {"c1"}
        assert [one["choices"][0]["delta"]["role"] for one in chunks[:-1] if "role" in one["choices"][0]["delta"]] == [
            "assistant"
        ]
        assert [one["choices"][0]["finish_reason"] for one in chunks[:-1]] == [None] * (len(chunks) - 2) + ["length"]
        assert said([*first, *second]) == "one two three"
        assert chunks[-1]["usage"] == {"prompt_tokens": 17, "completion_tokens": 8, "total_tokens": 25}

    def test_white_space_that_is_said_again_is_left_out(self) -> None:
        transcript, _ = broken_off(texts("one\n\n")[:-1])
        assert said(going_on(transcript, "prefill", texts("\n", "\n", "two"))[1]) == "two"
        assert said(going_on(transcript, "prefill", texts("\n two"))[1]) == " two"
        assert said(going_on(transcript, "prefill", texts("two", "\n\n"))[1]) == "two\n\n"

    def test_a_match_across_the_seam_is_caught_by_a_rule_that_was_not_there_before(self) -> None:
        transcript, _ = broken_off(texts("call Old")[:-1])
        guard = guard_of([rule("block")])
        _, left = going_on(transcript, "prefill", texts("Cli", "ent(x)"), guard)
        assert said(left) == ""
        assert guard.tripped is not None
        assert [(one.match_start_byte, one.match_end_byte) for one in guard.fired] == [(8, 15)], "of what it could hold"

    def test_a_match_that_has_left_in_part_cannot_be_changed_any_more(self) -> None:
        transcript, _ = broken_off(texts("call Old")[:-1])
        guard = guard_of([rule("rewrite"), rule("drop", "zzz")])
        _, left = going_on(transcript, "prefill", texts("Client(x)"), guard)
        assert said(left) == ""
        assert guard.tripped is not None
        assert guard.tripped.id == "rewrite"

    def test_what_was_released_fires_nothing_by_itself(self) -> None:
        transcript, _ = broken_off(texts(f"call {OLD}")[:-1])
        guard = guard_of([rule("block"), rule("rewrite", "z"), rule("annotate", OLD)])
        _, left = going_on(transcript, "prefill", texts("x)"), guard)
        assert said(left) == "x)"
        assert guard.fired == []

    def test_what_only_observes_sees_across_the_seam(self) -> None:
        transcript, _ = broken_off(texts("call Old")[:-1])
        guard = guard_of([rule("annotate")])
        _, left = going_on(transcript, "prefill", texts("Client(x)"), guard)
        assert said(left) == "Client(x)"
        assert [(one.rule_id, one.match_start_byte, one.match_end_byte) for one in guard.fired] == [("annotate", 5, 15)]

    def test_the_beginning_of_the_text_is_not_at_the_seam(self) -> None:
        transcript, _ = broken_off(texts("one")[:-1])
        guard = guard_of([StreamRule(id="start", action="block", regex=r"\A two")])
        assert said(going_on(transcript, "prefill", texts(" two"), guard)[1]) == " two"

    def test_another_choice_is_no_continuation(self) -> None:
        transcript, _ = broken_off(texts("one")[:-1])
        continuation, left = going_on(transcript, "prefill", stream_of(text_chunk("two", index=1)))
        assert continuation.has_strayed
        assert left == []

    def test_what_a_boundary_was_waited_for_is_not_waited_for_again(self) -> None:
        transcript, _ = broken_off(texts("One. ")[:-1], guard_of([], "semantic_boundary"))
        assert transcript.text() == "One. "
        _, left = going_on(transcript, "prefill", texts("Two", ". "), guard_of([], "semantic_boundary"), end=False)
        assert said(left) == "Two. "


class TestRepeat:
    def test_an_answer_leaves_from_where_it_has_repeated_everything(self) -> None:
        transcript, first = broken_off(texts("one ", "two")[:-1])
        continuation, second = going_on(transcript, "repeat", texts("o", "ne two th", "ree", answer_id="c2"))
        assert said(second) == " three"
        assert continuation.repeated_bytes == 7
        assert {one["id"] for one in rendered([*first, *second])} == {"c1"}

    def test_an_answer_that_says_anything_else_has_strayed(self) -> None:
        transcript, _ = broken_off(texts("one two")[:-1])
        for other in (["one twO", " three"], ["two"], ["one"], ["one two", "!"]):
            continuation, left = going_on(transcript, "repeat", texts(*other))
            assert continuation.has_strayed is (other[0] != "one two")
            assert said(left) == ("" if continuation.has_strayed else "!")

    def test_reasoning_is_to_be_repeated_too(self) -> None:
        begun = [chunk({"reasoning_content": "hm, so"}), text_chunk("one")]
        transcript, _ = broken_off(stream_of(*begun))
        _, left = going_on(transcript, "repeat", stream_of(*begun, text_chunk(" two"), chunk({}, "stop")))
        assert said(left) == " two"
        assert going_on(transcript, "repeat", stream_of(*begun[1:], text_chunk(" two")))[0].has_strayed

    def test_a_tool_call_comes_whole_behind_the_seam(self) -> None:
        transcript, _ = broken_off(texts("I call ")[:-1])
        call = [call_chunk(0, '{"a": 1', "f"), call_chunk(0, "}"), chunk({}, "tool_calls")]
        _, left = going_on(transcript, "repeat", stream_of(text_chunk("I call f: "), *call))
        assert said(left) == "f: "
        assert [one["choices"][0]["finish_reason"] for one in rendered(left)][-1] == "tool_calls"


PIECES = st.lists(st.text(alphabet='abOldClient( .\n"\\é', min_size=1, max_size=8), min_size=1, max_size=8)


@given(
    before=PIECES,
    after=PIECES,
    cut=st.integers(0, 60),
    by=st.sampled_from(["prefill", "repeat"]),
    recut=st.integers(1, 9),
    mode=st.sampled_from(["horizon", "semantic_boundary"]),
    action=st.sampled_from(["block", "annotate", "rewrite", "drop", None]),
)
def test_wherever_it_breaks_the_client_reads_the_whole_answer_or_a_rule_has_ended_it(
    before: list[str], after: list[str], cut: int, by: ResumedBy, recut: int, mode: str, action: StreamAction | None
) -> None:
    rules = [] if action is None else [rule(action, "Old"), rule("block", "ld(")]
    whole = "".join([*before, *after])
    frames = texts(*before, *after)
    guard = guard_of(rules, mode)
    transcript, first = broken_off(frames[: min(cut, len(frames) - 1)], guard)
    if not transcript.can_be_continued or guard.tripped is not None:
        return
    changes = action in ("rewrite", "drop")  # who is given a changed beginning goes on in its own way
    way = way_to_resume(transcript, has_prefill=by == "prefill" and not changes)
    rest = whole[len(given_text(transcript)) :] if way == "prefill" else whole
    pieces = [rest[place : place + recut] for place in range(0, len(rest), recut)]
    other = guard_of(rules, mode)
    continuation, second = going_on(transcript, way, texts(*pieces, answer_id="c2"), other)

    assert not continuation.has_strayed
    read = said([*first, *second])
    whole = outcome(rules, whole).text if changes else whole
    for one in rules:
        if one.action == "block":
            assert matches(one, read) == []
    if other.tripped is not None:
        assert changes or any(matches(one, whole) for one in rules if one.action == "block")
        assert whole.startswith(read)
        return
    assert read == whole
    state: Any = ChatCompletionStreamState()
    for sent in rendered([*first, *second]):
        state.handle_chunk(ChatCompletionChunk.model_validate(sent))
    final = state.get_final_completion()
    assert final.choices[0].message.content == whole
    assert (len(final.choices), final.choices[0].finish_reason, final.id) == (1, "stop", "c1")


@given(PIECES, PIECES, st.integers(1, 60))
def test_an_answer_that_strays_gives_nothing_away(before: list[str], other: list[str], cut: int) -> None:
    frames = texts(*before)
    transcript, first = broken_off(frames[: min(cut, len(frames) - 1)])
    if not transcript.can_be_continued:
        return
    continuation, second = going_on(transcript, "repeat", texts(*other, answer_id="c2"))
    text = "".join(other)
    assert continuation.has_strayed is not text.startswith(transcript.text())
    assert said([*first, *second]) == (transcript.text() if continuation.has_strayed else text)

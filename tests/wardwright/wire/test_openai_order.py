"""Choices begin in order of their index, and nothing else becomes of an answer: whatever its chunks, in whatever order and reads."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wardwright.policy.streams import answers, as_bytes, cuts, message_of, one_by_one, reads_of, rendered
from wardwright.domain.stream import Frame, Start, Text
from wardwright.wire.openai_order import ChoiceOrder
from wardwright.wire.openai_stream import parse_chunk

MOST = 4


def frame(*choices: dict[str, Any], **fields: Any) -> Frame:
    return parse_chunk(json.dumps({"id": "c", "model": "up", "choices": choices, **fields}).encode())


def choice(index: int = 0, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish}


def opening(index: int) -> dict[str, Any]:
    return choice(index, role="assistant")


def arranged(choices: int, *frames: Frame) -> list[list[dict[str, Any]]]:
    """What the chunks of an answer say that was asked for so many choices."""
    return [one["choices"] for one in rendered(ChoiceOrder(choices).arrange(frames))]


class TestOpening:
    def test_a_choice_whose_lower_neighbours_have_not_begun_lets_them_begin(self) -> None:
        given = frame(choice(2, content="c"), system_fingerprint="fp", usage=None, x=1)
        first, second, third = ChoiceOrder(3).arrange([given])
        assert third is given
        assert (first.events, second.events) == ((Start(0),), (Start(1),))
        like = {"id": "c", "model": "public", "system_fingerprint": "fp", "usage": None}
        assert rendered([first, second]) == [{**like, "choices": [opening(index)]} for index in (0, 1)]

    def test_the_role_that_was_said_ahead_is_not_said_again(self) -> None:
        late = frame(choice(0, role="assistant", content="a", x=1), usage=None, y=2)
        order = ChoiceOrder(2)
        order.arrange([frame(opening(1))])
        (made,) = order.arrange([late])
        assert rendered([made]) == [{**rendered([late])[0], "choices": [choice(0, content="a", x=1)]}]
        assert made.events == (Text(0, "a"),)

    def test_a_role_that_the_provider_says_with_every_chunk_is_left_out_once(self) -> None:
        saying = choice(0, role="assistant", content="a")
        later = frame(saying)
        order = ChoiceOrder(2)
        order.arrange([frame(opening(1)), frame(saying)])
        assert order.arrange([later]) == [later]

    def test_roles_that_are_null_say_nothing(self) -> None:
        unsaid, said = choice(0, role=None, content="a"), choice(0, role="assistant", content="b")
        assert arranged(2, frame(opening(1)), frame(unsaid), frame(said)) == [
            [opening(0)], [opening(1)], [unsaid], [choice(0, content="b")],
        ]  # fmt: skip

    def test_a_chunk_that_says_nothing_begins_its_choice_all_the_same(self) -> None:
        assert arranged(2, frame(choice(1))) == [[opening(0)], [choice(1)]]
        assert arranged(2, frame(choice(0)), frame(choice(1))) == [[choice(0)], [choice(1)]]

    def test_choices_that_share_a_chunk_begin_in_its_order(self) -> None:
        in_order = frame(choice(0, content="a"), choice(1, content="b"))
        assert ChoiceOrder(2).arrange([in_order]) == [in_order]
        assert arranged(2, frame(choice(1, content="b"), choice(0, role="assistant"))) == [
            [opening(0)], [choice(1, content="b"), choice(0)],
        ]  # fmt: skip
        assert arranged(3, frame(choice(0, role="assistant"), choice(2))) == [
            [opening(0)], [opening(1)], [choice(0), choice(2)],
        ]  # fmt: skip

    def test_choices_without_an_index_are_numbered_by_their_place(self) -> None:
        unnumbered = [{"delta": {"content": one}} for one in "ab"]
        assert arranged(2, frame(*unnumbered)) == [unnumbered]

    @pytest.mark.parametrize("extra", [2, 9999])
    def test_no_choice_is_begun_that_was_not_asked_for(self, extra: int) -> None:
        assert arranged(2, frame(choice(extra))) == [[opening(0)], [opening(1)], [choice(extra)]]

    def test_what_has_no_choices_begins_none(self) -> None:
        bare = [frame(prompt_filter_results=[]), parse_chunk(b'{"choices": null}')]
        assert ChoiceOrder(2).arrange(bare) == bare

    def test_an_answer_in_order_is_handed_on_as_it_is(self) -> None:
        order, begun = ChoiceOrder(2), [frame(opening(0)), frame(opening(1))]
        assert order.arrange(begun) == begun
        rest = [frame(choice(1, content="b")), frame(choice(0, role="assistant", content="a"))]
        assert order.arrange(rest) is rest


def begun_by(chunks: Sequence[dict[str, Any]]) -> list[int]:
    """The choices of an answer in the order of their beginning."""
    return list(dict.fromkeys(one["index"] for sent in chunks for one in sent["choices"]))


def without_roles(sent: dict[str, Any]) -> dict[str, Any]:
    choices = [
        {**one, "delta": {name: value for name, value in one["delta"].items() if name != "role"}}
        for one in sent["choices"]
    ]
    return {**sent, "choices": choices}


def is_opening(sent: dict[str, Any]) -> bool:
    """No other chunk of these answers has a role and nothing beside it."""
    return sent["choices"] in ([opening(index)] for index in range(MOST))


@given(answers(choices=MOST), st.data())
def test_choices_begin_in_order_and_no_chunk_waits_for_that(chunks: list[dict[str, Any]], data: st.DataObject) -> None:
    order, sent = ChoiceOrder(MOST), []
    for frames in reads_of(chunks, data.draw(cuts(len(as_bytes(chunks))))):
        leaving = rendered(order.arrange(frames))
        sent += leaving
        own = [one for one in leaving if not is_opening(one)]
        assert [without_roles(one) for one in own] == [without_roles(one) for one in rendered(frames)]
    begun = begun_by(sent)
    assert begun == list(range(len(begun)))
    assert len(begun) <= 1 + max(index for one in chunks for index in begun_by([one]))


@given(answers(choices=MOST), st.data())
def test_the_openai_client_makes_the_same_of_choices_in_any_order(
    chunks: list[dict[str, Any]], data: st.DataObject
) -> None:
    frames = [one for read in reads_of(chunks, [(0, len(as_bytes(chunks)))]) for one in read]
    order = ChoiceOrder(MOST)
    places = [0, *sorted(data.draw(st.sets(st.integers(0, len(frames)), max_size=5))), len(frames)]
    sent = [one for begin, end in pairwise(places) for one in order.arrange(frames[begin:end])]
    assert message_of(rendered(sent)) == message_of(one_by_one(rendered(frames)))


@given(answers(choices=MOST))
def test_choices_that_begin_in_order_are_left_alone(chunks: list[dict[str, Any]]) -> None:
    apart = one_by_one(chunks)
    frames = [one for read in reads_of(apart, [(0, len(as_bytes(apart)))]) for one in read]
    assert ChoiceOrder(MOST).arrange(frames) == frames

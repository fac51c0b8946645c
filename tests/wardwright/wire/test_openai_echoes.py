"""What repeats the text of a chunk or an answer, or has other text of the model: what stays, and what goes."""

import json
from typing import Any

import msgspec
import pytest

from wardwright.wire.openai import parse_chunk, parse_completion
from wardwright.wire.openai_echoes import answer_without_echoes, without_echoes

ALTERNATIVE = {"token": "other", "logprob": -1.0, "bytes": None}


def token(text: str, **fields: Any) -> dict[str, Any]:
    return {"token": text, "logprob": -0.5, "bytes": list(text.encode()), "top_logprobs": [], **fields}


def choice_after(channel: Any, delta: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A choice of a chunk after what echoes a channel went from it."""
    chunk = {"id": "c", "choices": [{"index": 0, "delta": delta, **fields}]}
    frame = parse_chunk(json.dumps(chunk).encode())
    assert frame.has_echoes
    [choice] = json.loads(bytes(without_echoes(frame, [channel]).fields["choices"]))
    found: dict[str, Any] = choice
    return found


class TestTokens:
    def test_those_of_exactly_the_text_stay_without_alternatives(self) -> None:
        said = [token("Hé", top_logprobs=[ALTERNATIVE]), token("y", bytes=None)]
        left = choice_after("text", {"content": "Héy"}, logprobs={"content": said, "refusal": None})
        assert left["logprobs"] == {"content": [{**one, "top_logprobs": []} for one in said], "refusal": None}

    @pytest.mark.parametrize(
        "logprobs",
        [
            {"content": [token("Hey"), token("!")]},
            {"content": [token("Hey", bytes=[33])]},
            {"content": [token("Hey")], "refusal": [token("no")]},
            {"content": [token("Hey")], "more": "!"},
            {"content": ["Hey"]},
            ["Hey"],
            "Hey",
        ],
        ids=["more", "other bytes", "of a refusal", "unknown", "no objects", "a list", "a text"],
    )
    def test_those_of_anything_else_go(self, logprobs: Any) -> None:
        assert choice_after("text", {"content": "Hey"}, logprobs=logprobs)["logprobs"] is None

    def test_those_that_come_before_their_text_go(self) -> None:
        assert choice_after("text", {"content": ""}, logprobs={"content": [token("Hey")]})["logprobs"] is None

    def test_ids_go(self) -> None:
        assert "token_ids" not in choice_after("text", {"content": "Hey"}, token_ids=[1])


def test_sound_goes_and_its_transcript_stays() -> None:
    left = choice_after("text", {"audio": {"id": "a", "data": "UklGRg==", "transcript": "Hey"}})
    assert left["delta"] == {"audio": {"id": "a", "transcript": "Hey"}}


def test_parts_that_nobody_reads_go_and_pictures_stay() -> None:
    kept = [{"type": "text", "text": "Hey"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "so"}]}
    for channel in ("text", "reasoning"):
        assert choice_after(channel, {"content": [thinking, *kept]})["delta"] == {"content": kept}


class TestReasoning:
    DETAILS = (
        {"type": "reasoning.text", "text": "so "},
        {"type": "reasoning.encrypted", "data": "x"},
        {"text": "it is"},
    )

    def test_details_of_the_same_words_stay(self) -> None:
        delta = {"reasoning_content": "so it is", "reasoning_details": list(self.DETAILS)}
        assert choice_after("reasoning", delta)["delta"] == delta

    def test_what_only_signs_stays(self) -> None:
        delta = {"reasoning_details": [{"type": "reasoning.text", "signature": "s"}]}
        assert choice_after("reasoning", delta)["delta"] == delta

    @pytest.mark.parametrize("details", [[{"text": "it is not"}], [{"summary": "no"}], ["no"], "no"])
    def test_details_of_other_words_go(self, details: Any) -> None:
        delta = {"reasoning_content": "so it is", "reasoning_details": details}
        assert choice_after("reasoning", delta)["delta"] == {"reasoning_content": "so it is"}

    def test_reasoning_in_a_form_that_nobody_reads_goes(self) -> None:
        assert choice_after("reasoning", {"reasoning": {"text": "no"}})["delta"] == {}

    def test_other_channels_are_left_alone(self) -> None:
        delta = {"content": "Hey", "reasoning_content": "so", "reasoning_details": [{"text": "it is not"}]}
        assert choice_after("text", delta)["delta"] == delta


def test_a_chunk_without_echoes_says_so_and_one_that_loses_nothing_stays_what_it_is() -> None:
    plain = parse_chunk(b'{"choices": [{"delta": {"content": "Hey", "audio": null}, "logprobs": null}]}')
    assert not plain.has_echoes
    aligned = {"choices": [{"delta": {"content": "Hey"}, "logprobs": {"content": [token("Hey")]}}]}
    frame = parse_chunk(json.dumps(aligned).encode())
    assert without_echoes(frame, ["text", "reasoning"]) is frame


def test_a_whole_answer_keeps_its_sound_and_loses_alternatives() -> None:
    message = {"content": None, "audio": {"data": "UklGRg==", "transcript": "Hey"}}
    said = {"content": [token("Hey", top_logprobs=[ALTERNATIVE])]}
    choices = [{"message": message}, {"message": {"content": "Hey"}, "logprobs": said}]
    answer = parse_completion(json.dumps({"choices": choices}).encode())
    left = json.loads(msgspec.json.encode(answer_without_echoes(answer, ["text"]).fields["choices"]))
    assert left[0]["message"] == message
    assert left[1]["logprobs"]["content"][0]["top_logprobs"] == []
    assert answer_without_echoes(answer, []) is answer

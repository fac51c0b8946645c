"""Streams of chat completions for properties: whole answers in random chunks, as bytes, cut anywhere."""

import json
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from wardwright.domain.policy import Channel, StreamAction, StreamPolicy, StreamRule
from wardwright.domain.stream import Frame, Reasoning, Text, ToolArguments
from wardwright.policy.stream_guard import StreamGuard
from wardwright.policy.stream_rules import StreamRules
from wardwright.wire import openai_reframe
from wardwright.wire.openai import StreamShape, parse_chunk, render_chunk
from wardwright.wire.sse import SseParser

WORDS = st.text(alphabet='abOldClient( .\n"\\é', min_size=1, max_size=8)
ARGUMENTS = st.recursive(
    st.one_of(st.integers(), st.text(alphabet='abOldé/\\" ', max_size=6)),
    lambda inner: st.dictionaries(st.text("abO", max_size=3), inner, max_size=2),
    max_leaves=3,
)
EVERYWHERE: tuple[Channel, ...] = ("text", "reasoning", "tool_arguments")
MODES = st.sampled_from(["horizon", "semantic_boundary", "full_buffer"])


def chunk(delta: dict[str, Any], finish: str | None = None, *, index: int = 0, **fields: Any) -> dict[str, Any]:
    """One chunk as a provider sends it, with a field that nobody here knows."""
    choice = {"index": index, "delta": delta, "finish_reason": finish, **fields}
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "up",
        "x_own": {"a": 1},
        "choices": [choice],
    }


def text_chunk(text: str, *, index: int = 0) -> dict[str, Any]:
    logprobs: dict[str, Any] = {
        "content": [{"token": text, "logprob": -0.5, "bytes": None, "top_logprobs": []}],
        "refusal": None,
    }
    return chunk({"content": text}, index=index, logprobs=logprobs)


def call_chunk(call: int, arguments: str, name: str | None = None, *, index: int = 0) -> dict[str, Any]:
    function: dict[str, Any] = {"arguments": arguments}
    begun = {"id": f"call_{call}", "type": "function"} if name else {}
    if name:
        function["name"] = name
    return chunk({"tool_calls": [{"index": call, **begun, "function": function}]}, index=index)


@st.composite
def answers(draw: st.DrawFn, *, choices: int = 2) -> list[dict[str, Any]]:
    """The chunks of one answer: reasoning, text and tool calls of its choices, mixed and cut at random."""
    lines = [_choice(draw, index) for index in range(draw(st.integers(1, choices)))]
    chunks: list[dict[str, Any]] = []
    while any(lines):
        line = draw(st.sampled_from([line for line in lines if line]))
        one = line.pop(0)
        if draw(st.integers(0, 5)) == 0 and (other := draw(st.sampled_from(lines))) and other is not line:
            one["choices"] += other.pop(0)["choices"]
        chunks.append(one)
    if draw(st.booleans()):
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        chunks.append({**chunks[-1], "choices": [], "usage": usage})
    return chunks


@st.composite
def echoing_answers(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Answers whose chunks repeat their text in every form that there is, at random with that of others, or have other text beside it."""
    line: list[dict[str, Any]] = []
    for word in draw(st.lists(WORDS, min_size=1, max_size=6)):
        form = draw(st.sampled_from(["plain", "ahead", "spoken", "refused", "custom", "details", "ids"]))
        other = draw(st.sampled_from([word, "Old", "OldClient("]))
        match form:
            case "plain":
                one = text_chunk(word)
                token = one["choices"][0]["logprobs"]["content"][0]
                token["top_logprobs"] = [{"token": other, "logprob": -1.0, "bytes": list(other.encode())}]
                token["bytes"] = draw(st.sampled_from([None, list(word.encode()), list(other.encode())]))
                line.append(one)
            case "ahead":
                tokens = {"content": [{"token": other, "logprob": -0.5, "bytes": None, "top_logprobs": []}]}
                line += [chunk({"content": ""}, logprobs=tokens), chunk({"content": word})]
            case "spoken":
                line += [chunk({"audio": {"id": "a1", "transcript": word}}), chunk({"audio": {"data": other}})]
            case "refused":
                line.append(chunk({"refusal": word}, logprobs={"content": None, "refusal": [{"token": other}]}))
            case "custom":
                begun = {"index": 0, "id": "call_0", "type": "custom", "custom": {"name": "f", "input": word}}
                line += [
                    chunk({"tool_calls": [begun]}),
                    chunk({"tool_calls": [{"index": 0, "custom": {"input": other}}]}),
                ]
            case "details":
                details = [{"type": "reasoning.text", "text": other}, {"type": "reasoning.encrypted", "data": "x"}]
                line.append(chunk({"reasoning_content": word, "reasoning_details": details}))
                line.append(chunk({"reasoning": {"text": other}}))
            case _:
                line.append(chunk({"content": word}, token_ids=[1, 2]))
    return [*line, chunk({}, "stop")]


def _choice(draw: st.DrawFn, index: int) -> list[dict[str, Any]]:
    line = [chunk({"role": "assistant", "content": ""}, index=index)] if draw(st.booleans()) else []
    line += [chunk({"reasoning_content": word}, index=index) for word in draw(st.lists(WORDS, max_size=3))]
    line += [text_chunk(word, index=index) for word in draw(st.lists(WORDS, max_size=5))]
    if draw(st.booleans()):
        line.append(chunk({"content": draw(WORDS), "reasoning_content": draw(WORDS)}, index=index))
    for call in range(draw(st.integers(0, 2))):
        text = json.dumps(draw(ARGUMENTS), ensure_ascii=draw(st.booleans()))
        cut = draw(st.integers(0, len(text)))
        pieces = [text[:cut], text[cut:]]
        line += [call_chunk(call, pieces[0], f"f{call}", index=index), call_chunk(call, pieces[1], index=index)]
    if draw(st.booleans()):
        line.append(chunk({"content": draw(WORDS)}, "stop", index=index))
    else:
        line.append(chunk({}, "stop", index=index))
    if draw(st.booleans()):  # with the first word, be that a tool call or the end
        (first,) = line[0]["choices"]
        first["delta"]["role"] = "assistant"
        first.pop("logprobs", None)  # the openai client counts those of a choice's first chunk twice
    return line


def as_bytes(chunks: Sequence[dict[str, Any]]) -> bytes:
    """The stream on the wire."""
    events = [b"data: " + json.dumps(one, ensure_ascii=False).encode() + b"\n\n" for one in chunks]
    return b"".join(events) + b"data: [DONE]\n\n"


@st.composite
def rule_lists(draw: st.DrawFn) -> list[StreamRule]:
    """Rules that find much in these answers."""
    actions: Sequence[StreamAction] = ("block", "retry", "rewrite", "drop", "annotate")
    return [
        StreamRule(
            id=str(number),
            action=draw(st.sampled_from(actions)),
            contains=draw(st.text("abOld(", min_size=1, max_size=3)),
            replacement=draw(st.sampled_from(["", "x", "Old", "[b]"])),
            on=draw(st.sampled_from([("text",), ("text", "reasoning"), EVERYWHERE])),
        )
        for number in range(draw(st.integers(1, 3)))
    ]


@st.composite
def cuts(draw: st.DrawFn, length: int) -> list[tuple[int, int]]:
    """A length in pieces."""
    places = sorted(draw(st.sets(st.integers(1, max(1, length - 1)), max_size=12)))
    return list(pairwise([0, *(place for place in places if place < length), length]))


def reads_of(chunks: Sequence[dict[str, Any]], cutting: Sequence[tuple[int, int]]) -> list[list[Frame]]:
    """What each read of a stream brings, when it is cut like this."""
    body, parser, shape = as_bytes(chunks), SseParser(), StreamShape()
    reads = []
    for begin, end in cutting:
        frames: list[Frame] = []
        for event in parser.feed(body[begin:end]):
            if event != b"[DONE]":
                assert isinstance(event, bytes)
                frames += shape.observe(parse_chunk(event))
        reads.append(frames)
    return reads


def guard_of(rules: Sequence[StreamRule], mode: str = "horizon", **policy: Any) -> StreamGuard:
    return StreamGuard(StreamRules(rules, StreamPolicy(mode=mode, **policy)), openai_reframe)  # type: ignore[arg-type]


def guarded(guard: StreamGuard, reads: Sequence[Sequence[Frame]]) -> list[Frame]:
    """Everything that leaves."""
    left = [frame for number, frames in enumerate(reads) for frame in guard.feed(frames, float(number))]
    return [*left, *guard.finish(float(len(reads)))]


def rendered(frames: Sequence[Frame]) -> list[dict[str, Any]]:
    """What the client is sent."""
    events = [render_chunk(frame, model="public", include_usage=True) for frame in frames]
    return [json.loads(event.removeprefix(b"data: ")) for event in events if event is not None]


def by_text(frames: Sequence[Frame]) -> dict[tuple[str, int, int], str]:
    """Every text of some frames, by where it stands."""
    found: dict[tuple[str, int, int], str] = defaultdict(str)
    for one in frames:
        for event in one.events:
            if isinstance(event, Text | Reasoning | ToolArguments):
                found[type(event).__name__, event.choice, getattr(event, "call", 0)] += event.text
    return dict(found)


def message_of(chunks: Sequence[dict[str, Any]]) -> Any:
    """What the openai client's own accumulator makes of a stream. It has other fields from whichever chunk is the first."""
    state = ChatCompletionStreamState()
    for one in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(one))
    return state.current_completion_snapshot.model_dump(include={"id", "choices", "usage"})


def one_by_one(chunks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same answer with one choice behind the other, each in chunks of its own."""
    apart = [{**one, "choices": [choice]} for one in chunks for choice in one["choices"]]
    ends = [one for one in chunks if not one["choices"]]
    return [*sorted(apart, key=lambda one: one["choices"][0]["index"]), *ends]

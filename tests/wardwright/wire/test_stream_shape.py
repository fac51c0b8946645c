import json

import pytest

from wardwright.domain.chat import Usage
from wardwright.domain.stream import Frame, Start, Text, UsageReport
from wardwright.wire.errors import BadAnswer
from wardwright.wire.openai_stream import parse_chunk, render_chunk
from wardwright.wire.stream_shape import StreamShape


def frame(*choices: dict[str, object], **fields: object) -> Frame:
    return parse_chunk(json.dumps({"id": "c", "model": "up", "choices": choices, **fields}).encode())


def delta(index: int = 0, finish_reason: str | None = None, **fields: object) -> dict[str, object]:
    return {"index": index, "delta": fields, "finish_reason": finish_reason}


USAGE = {"prompt_tokens": 3, "completion_tokens": 4}


def test_a_frame_that_is_in_order_is_handed_on_untouched() -> None:
    shape = StreamShape()
    for given in (frame(delta(role="assistant", content="")), frame(delta(content="a")), frame(delta(0, "stop"))):
        (handed_on,) = shape.observe(given)
        assert handed_on is given


def test_a_missing_role_is_put_before_the_first_content() -> None:
    shape = StreamShape()
    given = frame(delta(content="a"), system_fingerprint="fp", usage=None, prompt_filter_results=[])
    role, content = shape.observe(given)
    assert content is given
    assert role.events == (Start(0),)
    assert render_chunk(role, model="public", include_usage=True) == (
        b'data: {"id":"c","model":"public","system_fingerprint":"fp","choices":[{"index":0,'
        b'"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}\n\n'
    )
    assert len(shape.observe(frame(delta(content="b")))) == 1


def test_the_roles_of_several_choices_share_a_frame() -> None:
    role, _ = StreamShape(2).observe(frame(delta(0, content="a"), delta(1, content="b")))
    assert role.events == (Start(0), Start(1))


def test_an_answer_of_nothing_but_its_end_gets_a_role() -> None:
    shape = StreamShape()
    role, _ = shape.observe(frame(delta(0, "stop")))
    assert role.events == (Start(0),)
    assert shape.complete


def test_nothing_is_complete_before_anything_began() -> None:
    shape = StreamShape()
    shape.observe(frame(prompt_filter_results=[]))
    shape.observe(frame(usage=USAGE))
    assert not shape.complete
    assert not shape.may_end


def test_every_choice_asked_for_must_end() -> None:
    shape = StreamShape(2)
    shape.observe(frame(delta(0, role="assistant", content="a")))
    shape.observe(frame(delta(0, "stop")))
    assert (shape.may_end, shape.complete) == (True, False)
    shape.observe(frame(delta(1, role="assistant", content="a")))
    assert (shape.may_end, shape.complete) == (False, False)
    shape.observe(frame(delta(1, "length")))
    assert (shape.may_end, shape.complete) == (True, True)
    assert shape.finish_reasons == ("stop", "length")


def test_more_choices_than_asked_for_must_end_too() -> None:
    shape = StreamShape()
    shape.observe(frame(delta(0, role="assistant"), delta(1, role="assistant")))
    shape.observe(frame(delta(0, "stop")))
    assert not shape.complete


def test_usage_is_an_event_only_when_the_answer_is_over() -> None:
    shape = StreamShape()
    (running,) = shape.observe(frame(delta(role="assistant", content="a"), usage=USAGE))
    assert running.events == (Start(0), Text(0, "a"))
    assert not running.is_final
    assert shape.usage == Usage(3, 4)
    (last,) = shape.observe(frame(delta(0, "stop"), usage={**USAGE, "completion_tokens": 5}))
    assert UsageReport(Usage(3, 5)) in last.events
    assert shape.usage == Usage(3, 5)


def test_a_second_finish_reason_does_not_replace_the_first() -> None:
    shape = StreamShape()
    shape.observe(frame(delta(0, "tool_calls", role="assistant")))
    (again,) = shape.observe(frame(delta(0, "stop")))
    assert again.events == ()
    assert shape.finish_reasons == ("tool_calls",)


def test_counts_bytes_of_each_kind() -> None:
    shape = StreamShape()
    calls = [{"index": 0, "id": "x", "function": {"name": "né", "arguments": "{é}"}}]
    shape.observe(frame(delta(role="assistant", content="é", reasoning_content="🌍", tool_calls=calls)))
    shape.observe(frame(delta(content="a")))
    assert (shape.text_bytes, shape.reasoning_bytes, shape.tool_bytes) == (3, 4, 7)


def test_calls_without_number_are_a_bad_answer() -> None:
    shape = StreamShape()
    calls = [{"index": index % 10_000, "function": {"name": "f"}} for index in range(10_000)]
    shape.observe(frame(delta(role="assistant", tool_calls=calls)))
    with pytest.raises(BadAnswer, match="tool calls"):
        shape.observe(frame(delta(1, role="assistant", tool_calls=calls[:1])))

"""A whole answer of Anthropic's Messages API as a chat completion.

A message is what its stream adds up to. It is read as the stream that it would have been, so that both mean the same.
"""

from collections.abc import Iterable, Iterator

import msgspec

from wardwright.domain.chat import Completion, Fields
from wardwright.wire.anthropic_chunks import message_extras
from wardwright.wire.anthropic_stream import MessageDecoder
from wardwright.wire.errors import BadAnswer
from wardwright.wire.json_text import JSON_FAULTS, check_utf8, find_fault
from wardwright.wire.openai_answer import raise_error_object
from wardwright.wire.openai_chunks import AnswerHead, Extras
from wardwright.wire.openai_completion import write_completion

_FIELDS = msgspec.json.Decoder(Fields)
_BLOCKS = msgspec.json.Decoder(list[msgspec.Raw])
_ENCODER = msgspec.json.Encoder()
_NULL = msgspec.Raw(b"null")


def parse_message(body: bytes, head: AnswerHead) -> Completion:
    """Read a provider's whole answer.

    Raises:
        UpstreamErrorObject: the body is an error, whatever status it came with.
        BadAnswer: the body is not a message.
    """
    decoder = MessageDecoder()
    frames = [decoder.read(_ENCODER.encode(event)) for event in _as_stream(body)]
    extras = [message_extras(frame) for frame in frames]
    answer_id = next((extra.answer_id for extra in extras if extra.answer_id is not None), head.id)
    return write_completion(
        [event for frame in frames for event in frame.events],
        msgspec.structs.replace(head, id=answer_id),
        message=_joined(extras),
        choice={name: value for extra in extras for name, value in extra.choice.items()},
    )


def _as_stream(body: bytes) -> Iterator[dict[str, object]]:
    """The events of the stream that the answer would have been."""
    try:
        check_utf8(body)
        fields = _FIELDS.decode(body)
        raise_error_object(fields)
        blocks = _BLOCKS.decode(fields.get("content", _NULL))
    except JSON_FAULTS as error:
        raise BadAnswer(f"the answer is not a message: {find_fault(error, body)}") from None
    usage = fields.get("usage", _NULL)
    yield {"type": "message_start", "message": {name: fields[name] for name in fields if name != "content"}}
    for index, block in enumerate(blocks):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        yield {"type": "content_block_stop", "index": index}
    yield {"type": "message_delta", "delta": {"stop_reason": fields.get("stop_reason", _NULL)}, "usage": usage}


def _joined(extras: Iterable[Extras]) -> dict[str, object]:
    """The fields of all deltas in one; all of them are lists."""
    joined: dict[str, list[object]] = {}
    for extra in extras:
        for name, value in extra.delta.items():
            joined.setdefault(name, []).extend(value if isinstance(value, list) else [value])
    return dict(joined)

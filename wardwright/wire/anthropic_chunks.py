"""What an Anthropic answer has and a chat completion has no field for, in the fields where clients look for it.

- `reasoning_details` has the thinking once more, with the signature it must be sent back under, and thinking that came encrypted: the
  form that OpenRouter gave it, which clients keep and return with the next request. `index` tells the blocks apart.
- `citations` are Anthropic's own objects.
- `native_finish_reason` is Anthropic's word for why it stopped.
"""

from collections.abc import Callable, Mapping

import msgspec

from wardwright.domain.stream import Frame
from wardwright.wire.openai_chunks import Extras

REASONING_FORMAT = "anthropic-claude-v1"

_EMPTY = msgspec.Raw(b"{}")
_ABSENT = msgspec.Raw()


class _Message(msgspec.Struct):
    id: str | None = None


class _Block(msgspec.Struct):
    type: str = ""
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    citations: list[msgspec.Raw] | None = None


class _Delta(msgspec.Struct):
    type: str = ""
    thinking: str | None = None
    signature: str | None = None
    citation: msgspec.Raw = _ABSENT


class _Stop(msgspec.Struct):
    stop_reason: str | None = None


_MESSAGE = msgspec.json.Decoder(_Message)
_BLOCK = msgspec.json.Decoder(_Block)
_DELTA = msgspec.json.Decoder(_Delta)
_STOP = msgspec.json.Decoder(_Stop)
_INDEX = msgspec.json.Decoder(int)


def message_extras(frame: Frame) -> Extras:
    """Read what a frame that `anthropic_stream` made has beside its events. It checked the types of all that is read here."""
    read = _READERS.get(bytes(frame.fields.get("type", b"")))
    return Extras() if read is None else read(frame)


def _of_message(frame: Frame) -> Extras:
    return Extras(answer_id=_MESSAGE.decode(frame.fields.get("message", _EMPTY)).id or None)


def _of_block(frame: Frame) -> Extras:
    block = _BLOCK.decode(frame.fields.get("content_block", _EMPTY))
    if block.type == "redacted_thinking" and block.data:
        return _reasoning(frame, type="reasoning.encrypted", data=block.data)
    if block.type == "thinking" and (block.thinking or block.signature):
        return _thinking(frame, block.thinking, block.signature)
    return Extras(delta={"citations": block.citations}) if block.citations else Extras()


def _of_delta(frame: Frame) -> Extras:
    delta = _DELTA.decode(frame.fields.get("delta", _EMPTY))
    match delta.type:
        case "thinking_delta" if delta.thinking:
            return _thinking(frame, delta.thinking, None)
        case "signature_delta" if delta.signature:
            return _thinking(frame, None, delta.signature)
        case "citations_delta" if bytes(delta.citation):
            return Extras(delta={"citations": [delta.citation]})
        case _:
            return Extras()


def _of_end(frame: Frame) -> Extras:
    reason = _STOP.decode(frame.fields.get("delta", _EMPTY)).stop_reason
    return Extras(choice={"native_finish_reason": reason}) if reason else Extras()


def _thinking(frame: Frame, text: str | None, signature: str | None) -> Extras:
    said = {"text": text} if text else {}
    signed = {"signature": signature} if signature else {}
    return _reasoning(frame, type="reasoning.text", **said, **signed)


def _reasoning(frame: Frame, **detail: str) -> Extras:
    index = _INDEX.decode(frame.fields["index"])
    return Extras(delta={"reasoning_details": [{**detail, "format": REASONING_FORMAT, "index": index}]})


_READERS: Mapping[bytes, Callable[[Frame], Extras]] = {
    b'"message_start"': _of_message,
    b'"content_block_start"': _of_block,
    b'"content_block_delta"': _of_delta,
    b'"message_delta"': _of_end,
}

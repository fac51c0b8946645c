"""The chat-completions wire in one place: everything the edge and the providers may use of it."""

from wardwright.wire.errors import BadAnswer, UpstreamErrorObject
from wardwright.wire.openai_answer import parse_completion, render_completion
from wardwright.wire.openai_order import ChoiceOrder
from wardwright.wire.openai_request import choice_count, parse_chat_request, upstream_chat_body
from wardwright.wire.openai_stream import parse_chunk, render_chunk
from wardwright.wire.stream_shape import StreamShape

__all__ = [
    "BadAnswer",
    "ChoiceOrder",
    "StreamShape",
    "UpstreamErrorObject",
    "choice_count",
    "parse_chat_request",
    "parse_chunk",
    "parse_completion",
    "render_chunk",
    "render_completion",
    "upstream_chat_body",
]

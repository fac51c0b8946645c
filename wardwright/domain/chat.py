"""A chat request and a whole (unary) answer, as the gateway sees them.

Both keep every field the other side sent as raw JSON: what Wardwright does not understand it passes on unchanged. Only what it
must understand (the model's name, messages for the estimate, streaming flags, usage) is decoded beside it.
"""

from typing import Literal

import msgspec

Fields = dict[str, msgspec.Raw]

PrefillStyle = Literal["continue_final_message", "prefix", "last_message"]
"""How a server of chat completions is told that the last message is the beginning of its answer, to be gone on with.

`continue_final_message`: by vLLM's two fields beside the messages. Others that go on from the last message by themselves know nothing
of these fields, and leave them alone. `prefix`: by a mark on the message (Mistral, DeepSeek). `last_message`: by nothing else, for
servers that refuse fields which they do not know.
"""


class Part(msgspec.Struct, frozen=True):
    """One part of a multi-part message content; of other parts than text only the kind is known here."""

    type: str = "text"
    text: str | None = None


class Message(msgspec.Struct, frozen=True):
    """What the gateway reads of one chat message. `tool_calls`, and in the result of a call its `tool_call_id`, stay raw JSON."""

    role: str
    content: str | list[Part] | None = None
    tool_calls: msgspec.Raw | None = None
    tool_call_id: msgspec.Raw | None = None


class ChatRequest(msgspec.Struct, frozen=True):
    """A parsed chat-completions request.

    `fields` holds every top-level field verbatim, `model` included; an upstream body is made by replacing what must differ.
    `needs` are the target capabilities the request cannot do without (`tools`, `json_schema`, `vision`).
    `output_budget` is the largest of the requested output token limits, None when none was asked for.
    """

    model: str
    messages: tuple[Message, ...]
    fields: Fields
    stream: bool = False
    include_usage: bool = False
    output_budget: int | None = None
    needs: frozenset[str] = frozenset()
    metadata: dict[str, object] = {}
    user: str | None = None


class Usage(msgspec.Struct, frozen=True):
    """Token counts of one answer. `source` says whether the provider reported them or the gateway estimated them.

    `cached_prompt_tokens` are those of the prompt that the provider had cached; they are part of `prompt_tokens`.
    """

    prompt_tokens: int
    completion_tokens: int
    source: Literal["reported", "estimated"] = "reported"
    cached_prompt_tokens: int = 0


class Completion(msgspec.Struct, frozen=True):
    """A whole answer of a provider: its fields verbatim, and what the receipt needs of it.

    `text_bytes` counts the UTF-8 bytes of answer text over all choices, `called_tools` names the tools that it calls.
    """

    fields: Fields
    finish_reasons: tuple[str, ...]
    usage: Usage | None = None
    text_bytes: int = 0
    called_tools: tuple[str, ...] = ()

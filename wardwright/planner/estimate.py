"""How many tokens a request will take, before any model has seen it.

Rules: four characters count as one token, rounded up, and no request is empty. Characters are those of each message's role and
content, plus the JSON of tool calls and of the tool definitions, because a provider's prompt template spells both out. An image
or any other part that is not text counts as a fixed `TOKENS_PER_ATTACHMENT`: its size in bytes says nothing of its tokens.

Only lengths are taken, never a copy or a scan of the text, so a prompt of 300 kB costs as little as a short one.
"""

from collections.abc import Sequence

import msgspec

from wardwright.domain.chat import ChatRequest, Message, Part
from wardwright.domain.route import RequestFacts

CHARACTERS_PER_TOKEN = 4
TOKENS_PER_ATTACHMENT = 1024

_NULL = msgspec.Raw(b"null")


def estimate_tokens(messages: Sequence[Message], tools: msgspec.Raw | None = None) -> int:
    """Estimate the prompt tokens of messages and the JSON of the tools offered with them. Purity: pure."""
    characters = _json_length(tools)
    attachments = 0
    for message in messages:
        characters += len(message.role) + _json_length(message.tool_calls)
        content = message.content
        if isinstance(content, str):
            characters += len(content)
        elif content is not None:
            characters += sum(len(part.text) for part in content if part.text is not None)
            attachments += sum(map(_is_attachment, content))
    text_tokens = (characters + CHARACTERS_PER_TOKEN - 1) // CHARACTERS_PER_TOKEN
    return max(1, text_tokens + attachments * TOKENS_PER_ATTACHMENT)


def request_facts(request: ChatRequest) -> RequestFacts:
    """State what planning has to know of a request. Purity: pure."""
    return RequestFacts(
        estimated_prompt_tokens=estimate_tokens(request.messages, request.fields.get("tools")),
        output_budget=max(0, request.output_budget or 0),
        needs=tuple(sorted(request.needs)),
    )


def _is_attachment(part: Part) -> bool:
    return part.text is None and part.type != "text"


def _json_length(raw: msgspec.Raw | None) -> int:
    return 0 if raw is None or raw == _NULL else len(raw)

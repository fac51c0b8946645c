"""How many tokens a request will take, before any model has seen it.

Rules: four characters count as one token, rounded up, and no request is empty. Characters are those of each message's role and
content, plus the JSON of tool calls and of the tool definitions, because a provider's prompt template spells both out. An image
or any other part that is not text counts as a fixed `TOKENS_PER_ATTACHMENT`: its size in bytes says nothing of its tokens.

Only lengths are taken, never a copy or a scan of the text, so a prompt of 300 kB costs as little as a short one.

Where the estimate comes within a fifth of a window, and the target of that window names its tokenizer, the prompt is counted
exactly instead: `tokenizers_worth_asking` says by which, `countable_pieces` what of, in pieces that each take a fraction of a
millisecond to count, so that whoever counts can let others in between. A piece ends where a word ends, which is where tokens end too;
only text of thousands of characters without a space is cut inside a word, which may add a token a cut.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from wardwright.domain.chat import ChatRequest, Message, Part
from wardwright.domain.route import RequestFacts, Target
from wardwright.domain.tokens import Tokenizer

CHARACTERS_PER_TOKEN = 4
TOKENS_PER_ATTACHMENT = 1024
NEAR = 0.2
PIECE_CHARACTERS = 4096

# What a chat template spells around the messages: OpenAI's published rule for counting tokens with its own vocabularies.
TOKENS_PER_MESSAGE = 3
TOKENS_PER_REPLY = 3

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


def text_tokens(text: str) -> int:
    """Estimate the tokens of a text. Purity: pure."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def facts_going_on(facts: RequestFacts, tokens: int) -> RequestFacts:
    """State the facts of a request once so many tokens of its answer stand behind its prompt. Purity: pure."""
    return msgspec.structs.replace(
        facts,
        estimated_prompt_tokens=facts.estimated_prompt_tokens + tokens,
        output_budget=max(1, facts.output_budget - tokens) if facts.output_budget else 0,
        exact_prompt_tokens={name: count + tokens for name, count in facts.exact_prompt_tokens.items()},
    )


def tokenizers_worth_asking(facts: RequestFacts, targets: Iterable[Target]) -> set[Tokenizer]:
    """Name the tokenizers whose exact count may decide whether one of these targets fits. Purity: pure."""
    needed = facts.required_window
    return {
        target.tokenizer
        for target in targets
        if target.tokenizer is not None and abs(target.context_window - needed) <= NEAR * target.context_window
    }


def countable_pieces(request: ChatRequest) -> Iterator[str]:
    """Cut what a prompt template spells out of a request into pieces to count one by one. Purity: pure."""
    tools = request.fields.get("tools")
    if tools is not None:
        yield from _pieces(_raw_text(tools))
    for message in request.messages:
        yield message.role
        content = message.content
        if isinstance(content, str):
            yield from _pieces(content)
        elif content is not None:
            for part in content:
                if part.text is not None:
                    yield from _pieces(part.text)
        if message.tool_calls is not None:
            yield from _pieces(_raw_text(message.tool_calls))


def fixed_tokens(request: ChatRequest) -> int:
    """Count the tokens of a request that no text stands for: the template's own, and attachments. Purity: pure."""
    parts = (part for message in request.messages if isinstance(message.content, list) for part in message.content)
    attachments = sum(map(_is_attachment, parts))
    return len(request.messages) * TOKENS_PER_MESSAGE + TOKENS_PER_REPLY + attachments * TOKENS_PER_ATTACHMENT


def _pieces(text: str) -> Iterator[str]:
    begin = 0
    while len(text) - begin > PIECE_CHARACTERS:
        end = _end_of_a_word(text, begin, begin + PIECE_CHARACTERS)
        yield text[begin:end]
        begin = end
    yield text[begin:]


def _end_of_a_word(text: str, begin: int, end: int) -> int:
    """Find the last place of a piece where a word ends and a space and another word follow."""
    space = text.rfind(" ", begin + 1, end)
    while space > 0 and not (text[space - 1].isalpha() and text[space + 1].isalpha()):
        space = text.rfind(" ", begin + 1, space)
    return space if space > 0 else end


def _raw_text(raw: msgspec.Raw) -> str:
    return "" if raw == _NULL else bytes(raw).decode("utf-8", "replace")


def _is_attachment(part: Part) -> bool:
    return part.text is None and part.type != "text"


def _json_length(raw: msgspec.Raw | None) -> int:
    return 0 if raw is None or raw == _NULL else len(raw)

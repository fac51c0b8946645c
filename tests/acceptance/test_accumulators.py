"""Clients' own accumulators put the same message together from what the gateway sends.

The streams are those of `contracts/fixtures/streams`, as providers send them: text, reasoning, refusals, several choices, parallel
tool calls. The openai client makes the same of each whether rules read it or not, as long as they find nothing; the property over all
answers and all ways to cut them is in `tests/wardwright/policy/test_stream_guard.py`. And of a stream of Anthropic's it makes, by way
of the gateway, what the anthropic client makes of the very same bytes.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from openai.types.chat import ChatCompletion

from tests.acceptance.daemon import Daemon, run_daemon
from tests.support.streams import FIXTURES, Fixture, load
from tests.support.upstream import Upstream
from wardwright.domain.stream import Reasoning, Text, ToolArguments, ToolCallStart, UsageReport

MODES = ("horizon", "semantic_boundary", "full_buffer")
INNOCENT = (
    'contains = "OldClient("\naction = "block"',
    "regex = '(?i)drop table [a-z]{1,20}'\naction = \"rewrite\"",
    "regex = 'to be left out[.!]?'\naction = \"drop\"",
)
FINISH_REASONS = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length", "refusal": "content_filter"}
HELLO = "hello"


def whole_answers(wire: str) -> dict[str, Fixture]:
    """The fixtures of a wire's streams that come to their end."""
    found: dict[Path, Fixture] = {file: load(file) for file in FIXTURES}
    return {
        file.stem: fixture
        for file, fixture in found.items()
        if fixture.wire == wire and fixture.error is None and fixture.may_end and fixture.done
    }


# The openai client wants chunks to say that they are some, and the anthropic client events to have names.
OPENAI = {
    name: answer for name, answer in whole_answers("openai").items() if "chat.completion.chunk" in answer.stream[0]
}
ANTHROPIC = {name: answer for name, answer in whole_answers("anthropic").items() if "event: " in answer.stream[0]}


@pytest.fixture(scope="module")
def daemon(shared_upstream: Upstream, backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    rules = "".join(
        f'[[models.stream_rules]]\nid = "r{number}"\non = ["any"]\n{rule}\n' for number, rule in enumerate(INNOCENT)
    )
    models = '[[models]]\nid = "unruled"\nroute_root = "openai/any"\n' + "".join(
        f"""
[[models]]
id = "{kind}{mode}"
route_root = "{target}"
stream_policy = {{ mode = "{mode}" }}
{rules}"""
        for mode in MODES
        for kind, target in (("", "openai/any"), ("anthropic-", "anthropic/any"))
    )
    providers = "".join(
        f"""
[[providers]]
id = "{name}"
kind = "{kind}"
base_url = "{shared_upstream.url}"

[[targets]]
id = "{name}/any"
provider = "{name}"
context_window = 8192
"""
        for name, kind in (("openai", "openai-compatible"), ("anthropic", "anthropic"))
    )
    config = f'[runtime]\nbackend = "{backend}"\n{providers}{models}'
    with run_daemon(tmp_path_factory.mktemp("accumulators"), config) as running:
        yield running


@pytest.fixture(scope="module")
def openai_client(daemon: Daemon) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def anthropic_client(shared_upstream: Upstream) -> Iterator[anthropic.Anthropic]:
    """A client of the provider itself."""
    url = shared_upstream.url.removesuffix("/v1")
    with anthropic.Anthropic(base_url=url, api_key="unused", max_retries=0) as client:
        yield client


def by_openai(client: openai.OpenAI, model: str, choices: int = 1) -> ChatCompletion:
    """What the openai client's own accumulator makes of a stream."""
    with client.chat.completions.stream(
        model=model,
        messages=[{"role": "user", "content": HELLO}],
        n=choices,
        stream_options={"include_usage": True},
    ) as stream:
        try:
            return stream.get_final_completion()
        except (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError):
            return stream.current_completion_snapshot  # it tells so of answers with these finish reasons


def by_anthropic(client: anthropic.Anthropic) -> anthropic.types.Message:
    """What the anthropic client's own accumulator makes of a stream."""
    messages: list[anthropic.types.MessageParam] = [{"role": "user", "content": HELLO}]
    with client.messages.stream(model="any", max_tokens=100, messages=messages) as stream:
        return stream.get_final_message()


def test_every_kind_of_content_is_among_the_streams() -> None:
    for answers in (OPENAI, ANTHROPIC):
        kinds = {type(event) for answer in answers.values() for frame in answer.frames for event in frame}
        assert {Text, Reasoning, ToolCallStart, ToolArguments, UsageReport} <= kinds
    assert {"two-choices", "parallel-tool-calls", "refusal", "reasoning-before-text"} <= set(OPENAI)


@pytest.mark.parametrize("name", OPENAI)
def test_the_message_is_the_same_with_rules_and_without(
    daemon: Daemon, openai_client: openai.OpenAI, shared_upstream: Upstream, name: str
) -> None:
    choices = OPENAI[name].expected_choices
    made: dict[str, dict[str, Any]] = {}
    for model in ("unruled", *MODES):
        shared_upstream.script(f"play-openai-{name}")
        made[model] = by_openai(openai_client, model, choices).model_dump()
        assert made[model].pop("model") == model
        assert daemon.receipts(limit=1)[0]["status"] == "completed"
    assert made["unruled"]["choices"]
    assert [mode for mode in MODES if made[mode] != made["unruled"]] == []


@pytest.mark.parametrize("name", ANTHROPIC)
def test_the_message_is_what_the_providers_own_client_makes_of_its_stream(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic, shared_upstream: Upstream, name: str
) -> None:
    shared_upstream.script(f"play-anthropic-{name}")
    theirs = by_anthropic(anthropic_client)
    for mode in MODES:
        shared_upstream.script(f"play-anthropic-{name}")
        ours = by_openai(openai_client, f"anthropic-{mode}")
        [choice] = ours.choices
        assert content_of(choice.message) == content_of_blocks(theirs.content)
        assert choice.finish_reason == FINISH_REASONS[theirs.stop_reason or ""]
        assert ours.usage is not None
        assert ours.usage.completion_tokens == theirs.usage.output_tokens


Content = tuple[str, str, list[tuple[str, str, object]]]


def content_of(message: openai.types.chat.ChatCompletionMessage) -> Content:
    """Text, reasoning and tool calls."""
    calls = [
        (call.id, call.function.name, json.loads(call.function.arguments))
        for call in message.tool_calls or ()
        if call.type == "function"
    ]
    return message.content or "", getattr(message, "reasoning_content", None) or "", calls


def content_of_blocks(blocks: list[anthropic.types.ContentBlock]) -> Content:
    """The same, of Anthropic's blocks."""
    text = "".join(block.text for block in blocks if block.type == "text")
    thinking = "".join(block.thinking for block in blocks if block.type == "thinking")
    calls: list[tuple[str, str, object]] = [
        (block.id, block.name, block.input) for block in blocks if block.type == "tool_use"
    ]
    return text, thinking, calls

"""An unmodified openai client, answered by providers that speak other wires than OpenAI's."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.acceptance.daemon import Daemon, run_daemon
from tests.support.upstream import Upstream, answer_text

HELLO: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
# The kind of provider, and which of the upstream's models stands first; behind it, one that answers well.
MODELS = {
    "anthropic-well": ("anthropic", "anthropic-ok-n5"),
    "anthropic-tools": ("anthropic", "play-anthropic-tool-calls"),
    "anthropic-thinks": ("anthropic", "play-anthropic-thinking-before-text"),
    "anthropic-fails": ("anthropic", "anthropic-overloaded"),
    "anthropic-breaks": ("anthropic", "play-anthropic-cut-before-stop"),
    "anthropic-ruled": ("anthropic", "anthropic-ok-n5"),
    "ollama-well": ("ollama", "ollama-ok-n5"),
    "ollama-tools": ("ollama", "play-ollama-tool-calls"),
    "ollama-thinks": ("ollama", "play-ollama-thinking-before-text"),
    "ollama-fails": ("ollama", "503"),
    "ollama-ruled": ("ollama", "ollama-ok-n5"),
    "ollama-breaks": ("ollama", "play-ollama-cut-before-done"),
}


def configuration(upstream: Upstream) -> str:
    """One provider of each kind, all at the same address, and the models above."""
    kinds = sorted({kind for kind, _ in MODELS.values()})
    lines = ["[storage]", 'kind = "memory"']
    for kind in (*kinds, "openai-compatible"):
        lines += ["[[providers]]", f'id = "{kind}"', f'kind = "{kind}"', f'base_url = "{upstream.url}"']
        lines += ["breaker = { failures = 1000 }"]  # some models of each fail, and the others shall not hear of it
    targets = {(kind, model) for kind, model in MODELS.values()} | {("openai-compatible", "ok")}
    for kind, model in sorted(targets):
        lines += ["[[targets]]", f'id = "{kind}/{model}"', f'provider = "{kind}"', f'upstream_model = "{model}"']
        lines += ["context_window = 8192"]
    for name, (kind, model) in MODELS.items():
        lines += ["[[models]]", f'id = "{name}"', "[[models.cascades]]", 'id = "all"']
        lines += [f'models = ["{kind}/{model}", "openai-compatible/ok"]']
        if name.endswith("-ruled"):
            lines += ["[[models.stream_rules]]", 'id = "slow"', 'regex = "qu[a-z]{1,5}k br"', 'action = "rewrite"']
            lines += ['on = ["text"]', 'replacement = "slow br"']
    return "\n".join(lines)


@pytest.fixture(scope="module")
def daemon(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with run_daemon(tmp_path_factory.mktemp("daemon"), configuration(shared_upstream)) as running:
        yield running


@pytest.fixture
def client(daemon: Daemon) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="unused", max_retries=0) as asking:
        yield asking


KINDS = sorted({kind for kind, _ in MODELS.values()})


@pytest.mark.parametrize("kind", KINDS)
def test_a_unary_answer_arrives_under_the_public_name(client: openai.OpenAI, kind: str) -> None:
    answer = client.chat.completions.create(model=f"{kind}-well", messages=HELLO)

    assert answer.model == f"{kind}-well"
    assert answer.choices[0].message.content == answer_text(5)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_has_role_content_finish_reason_and_usage(client: openai.OpenAI, kind: str) -> None:
    with client.chat.completions.stream(
        model=f"{kind}-well", messages=HELLO, stream_options={"include_usage": True}
    ) as stream:
        answer = stream.get_final_completion()

    assert answer.model == f"{kind}-well"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content == answer_text(5)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 12


@pytest.mark.parametrize("kind", KINDS)
def test_the_client_gathers_whole_tool_calls(client: openai.OpenAI, kind: str) -> None:
    with client.chat.completions.stream(model=f"{kind}-tools", messages=HELLO) as stream:
        (choice,) = stream.get_final_completion().choices

    assert choice.finish_reason == "tool_calls"
    calls = choice.message.tool_calls or []
    assert [call.function.name for call in calls][:2] == ["weather", "time"]
    assert '"Oslo"' in calls[0].function.arguments
    assert len({call.id for call in calls}) == len(calls)


@pytest.mark.parametrize("kind", KINDS)
def test_reasoning_goes_where_clients_look_for_it(client: openai.OpenAI, kind: str) -> None:
    chunks = client.chat.completions.create(model=f"{kind}-thinks", messages=HELLO, stream=True)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]

    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "Hm, so."
    assert "".join(delta.content or "" for delta in deltas) == "Yes."


def test_signed_thinking_survives_the_way_through_a_client_and_back(
    client: openai.OpenAI, shared_upstream: Upstream
) -> None:
    with client.chat.completions.stream(model="anthropic-thinks", messages=HELLO) as stream:
        said = stream.get_final_completion().choices[0].message.to_dict()
    kept = {name: said[name] for name in ("role", "content", "reasoning_details")}
    messages: Any = [*HELLO, kept, *HELLO]
    client.chat.completions.create(model="anthropic-well", messages=messages)

    assert shared_upstream.calls[-1].json["messages"][1] == {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm, so.", "signature": "EqQBCg=="},
            {"type": "redacted_thinking", "data": "EmwKAhgB"},
            {"type": "text", "text": "Yes."},
        ],
    }


@pytest.mark.parametrize("kind", KINDS)
def test_rules_read_across_the_pieces_of_any_wire(client: openai.OpenAI, kind: str) -> None:
    chunks = client.chat.completions.create(model=f"{kind}-ruled", messages=HELLO, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    assert text == answer_text(5).replace("quick br", "slow br") != answer_text(5)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_next_target_answers_when_it_fails(daemon: Daemon, kind: str, stream: bool) -> None:
    answer = daemon.chat(model=f"{kind}-fails", stream=stream)

    assert answer.status_code == 200
    assert answer.headers["x-wardwright-selected-model"] == "openai-compatible/ok"
    receipt = daemon.receipt(answer.headers["x-wardwright-receipt-id"])
    assert receipt["attempts"][0]["failure"]["failure_class"] == "overloaded"


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_breaks_after_release_raises_in_the_client(client: openai.OpenAI, kind: str) -> None:
    chunks = client.chat.completions.create(model=f"{kind}-breaks", messages=HELLO, stream=True)
    with pytest.raises(openai.APIError):
        list(chunks)

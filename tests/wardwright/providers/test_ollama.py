"""The adapter for Ollama's own API, against an upstream that behaves and one that does not."""

import json

import anyio
import pytest
from anyio import to_thread

from tests.support.calls import upstream_call
from tests.support.upstream import Upstream, answer_text, refusing_url
from tests.wardwright.providers.test_openai_compatible import (
    collect,
    events_of,
    failure_of_complete,
    failure_of_stream,
    text_of,
)
from wardwright.domain.chat import Usage
from wardwright.domain.errors import FailureClass
from wardwright.domain.stream import Finish, Frame, Reasoning, Start, ToolArguments, ToolCallStart, UsageReport
from wardwright.ports.provider import Provider, ProviderInfo
from wardwright.providers import answer_stream
from wardwright.providers.ollama import OllamaProvider
from wardwright.providers.transport import Transport

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

INFO = ProviderInfo(id="local", kind="ollama")


@pytest.fixture
def provider(upstream: Upstream, transport: Transport) -> Provider:
    return OllamaProvider(INFO, transport, upstream.url, clock=lambda: 17.5)


async def test_a_whole_answer_is_a_chat_completion(provider: Provider) -> None:
    answer = await provider.complete(upstream_call("ollama-ok-n4"))

    assert {name: json.loads(bytes(value)) for name, value in answer.fields.items()} == {
        "id": "chatcmpl-req-1",
        "object": "chat.completion",
        "created": 17,
        "model": "ollama-ok-n4",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": answer_text(4)}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 4, "total_tokens": 11},
    }
    assert (answer.finish_reasons, answer.usage, answer.text_bytes) == (("stop",), Usage(7, 4), len(answer_text(4)))


async def test_a_whole_answer_may_call_tools(provider: Provider) -> None:
    answer = await provider.complete(upstream_call("ollama-tools"))

    (choice,) = json.loads(bytes(answer.fields["choices"]))
    assert choice == {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": None,
            "reasoning_content": "Hm.",
            "tool_calls": [
                {
                    "id": "call_chatcmpl-req-1_0",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
                }
            ],
        },
        "finish_reason": "tool_calls",
    }


async def test_the_request_goes_to_the_native_endpoint_with_the_window_of_the_target(
    upstream: Upstream, provider: Provider
) -> None:
    await provider.complete(upstream_call("ollama-ok", temperature=0.5))

    assert upstream.calls[0].path == "/api/chat"
    assert upstream.calls[0].json == {
        "model": "ollama-ok",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": False,
        "options": {"num_ctx": 8192, "temperature": 0.5},
    }


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
async def test_the_address_of_the_compatible_api_will_do_too(
    upstream: Upstream, transport: Transport, suffix: str
) -> None:
    base_url = upstream.url.removesuffix("/v1") + suffix
    await OllamaProvider(INFO, transport, base_url).complete(upstream_call("ollama-ok"))

    assert upstream.calls[0].path == "/api/chat"


async def test_a_credential_travels_as_a_bearer_token(upstream: Upstream, transport: Transport) -> None:
    await OllamaProvider(INFO, transport, upstream.url, lambda: "key").complete(upstream_call("ollama-ok"))

    assert upstream.calls[0].headers["authorization"] == "Bearer key"


async def test_a_stream_brings_role_text_finish_and_usage(upstream: Upstream, provider: Provider) -> None:
    frames = await collect(provider, upstream_call("ollama-ok-n5", stream=True))

    assert text_of(frames) == answer_text(5)
    assert events_of(frames, Start) == [Start(0)]
    assert events_of(frames, Finish) == [Finish(0, "stop")]
    assert events_of(frames, UsageReport) == [UsageReport(Usage(7, 5))]
    assert upstream.calls[0].headers["accept"] == "application/x-ndjson"


async def test_thinking_and_tool_calls_arrive(provider: Provider) -> None:
    thinking = await collect(provider, upstream_call("play-ollama-thinking-before-text", stream=True))
    assert events_of(thinking, Reasoning) == [Reasoning(0, "Hm, "), Reasoning(0, "so.")]

    calling = await collect(provider, upstream_call("play-ollama-tool-calls", stream=True))
    starts = events_of(calling, ToolCallStart)
    assert starts[0] == ToolCallStart(0, 0, "call_chatcmpl-req-1_0", "weather")
    assert len(events_of(calling, ToolArguments)) == len(starts) == 3
    assert events_of(calling, Finish) == [Finish(0, "tool_calls")]


async def test_the_last_line_ends_the_answer_although_the_connection_stays_open(
    upstream: Upstream, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_stream, "TRAILER_GRACE_S", 3600.0)
    with anyio.fail_after(60):
        frames = await collect(provider, upstream_call("ollama-done-held-open", stream=True))

    assert text_of(frames) == answer_text()
    assert await to_thread.run_sync(upstream.wait_for_hang_ups, 1)


async def test_each_line_is_handed_on_as_it_comes(provider: Provider) -> None:
    with anyio.fail_after(60):
        async with provider.stream(upstream_call("ollama-stall-n2", stream=True)) as batches:
            seen: list[Frame] = []
            async for batch in batches:
                seen.extend(batch)
                if text_of(seen) == answer_text(2):
                    break


@pytest.mark.parametrize(
    ("behaviour", "failure_class"),
    [
        ("ollama-cut", "stream_broken"),
        ("ollama-garbage", "bad_response"),
        ("play-ollama-cut-before-done", "stream_broken"),
        ("play-ollama-cut-in-a-line", "stream_broken"),
        ("play-ollama-error-line", "server_error"),
    ],
)
async def test_a_stream_that_goes_wrong_hands_on_what_came_before(
    provider: Provider, behaviour: str, failure_class: FailureClass
) -> None:
    seen: list[Frame] = []
    failure = await failure_of_stream(provider, upstream_call(behaviour, stream=True), seen)

    assert failure.failure_class == failure_class
    assert text_of(seen)


@pytest.mark.parametrize(
    ("behaviour", "failure_class", "words"),
    [
        (
            "ok",
            "bad_response",
            "expected application/x-ndjson, got text/event-stream: is base_url the address of an Ollama",
        ),
        ("html", "bad_response", "got text/html"),
        ("ollama-oversize", "bad_response", "bytes"),
        ("empty-stream", "bad_response", "got text/event-stream"),
        ("429", "rate_limited", "429"),
        ("500", "server_error", "500"),
        ("ollama-no-model", "invalid_request", "404"),
        ("close", "connect", "reset before headers"),
    ],
)
async def test_a_stream_that_never_becomes_an_answer_says_why(
    provider: Provider, behaviour: str, failure_class: FailureClass, words: str
) -> None:
    seen: list[Frame] = []
    failure = await failure_of_stream(provider, upstream_call(behaviour, stream=True), seen)

    assert failure.failure_class == failure_class
    assert words in failure.message
    assert seen == []


@pytest.mark.parametrize(
    ("behaviour", "failure_class", "words"),
    [
        ("ollama-unfinished", "bad_response", "not done"),
        ("ok", "bad_response", "message: required"),
        ("garbage", "bad_response", "could not be read"),
        ("html", "bad_response", "got text/html"),
        ("ollama-no-model", "invalid_request", "404"),
        ("cut", "stream_broken", "broke"),
    ],
)
async def test_a_unary_call_that_goes_wrong_says_why(
    provider: Provider, behaviour: str, failure_class: FailureClass, words: str
) -> None:
    failure = await failure_of_complete(provider, upstream_call(behaviour))

    assert failure.failure_class == failure_class
    assert words in failure.message


async def test_what_ollama_cannot_do_is_the_callers_fault_and_is_not_asked_for(
    upstream: Upstream, provider: Provider
) -> None:
    failure = await failure_of_complete(provider, upstream_call("ollama-ok", n=2))

    assert (failure.failure_class, failure.code) == ("invalid_request", "unsupported_parameter")
    assert failure.message == "n: this target gives one answer to a request"
    assert upstream.calls == []


async def test_a_refused_connection_is_a_connect_failure(transport: Transport) -> None:
    provider = OllamaProvider(INFO, transport, refusing_url())

    assert (await failure_of_stream(provider, upstream_call(stream=True))).failure_class == "connect"


@pytest.mark.parametrize("behaviour", ["hang", "ollama-stall"])
async def test_cancelling_a_stream_hangs_up_on_the_upstream(
    upstream: Upstream, provider: Provider, behaviour: str
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(collect, provider, upstream_call(behaviour, stream=True))
        assert await to_thread.run_sync(upstream.wait_for_calls, 1)
        tasks.cancel_scope.cancel()

    assert await to_thread.run_sync(upstream.wait_for_hang_ups, 1)


async def test_the_connection_of_a_complete_stream_is_used_again(upstream: Upstream, provider: Provider) -> None:
    for _ in range(3):
        await collect(provider, upstream_call("ollama-ok", stream=True))

    assert [call.connection for call in upstream.calls] == [1, 1, 1]

"""The adapter for Anthropic's Messages API, against an upstream that behaves and one that does not."""

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
from wardwright.domain.errors import FailureClass, ProviderError
from wardwright.domain.limits import RateWindow
from wardwright.domain.stream import Finish, Frame, Reasoning, Start, ToolArguments, ToolCallStart, UsageReport
from wardwright.ports.provider import Provider, ProviderInfo
from wardwright.providers import answer_stream
from wardwright.providers.anthropic import AnthropicProvider
from wardwright.providers.transport import Transport

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

INFO = ProviderInfo(id="claude", kind="anthropic")


def provider_at(url: str, transport: Transport, key: str | None = "key") -> Provider:
    return AnthropicProvider(INFO, transport, url, lambda: key, default_max_tokens=1000, clock=lambda: 17.5)


@pytest.fixture
def provider(upstream: Upstream, transport: Transport) -> Provider:
    return provider_at(upstream.url, transport)


async def test_a_whole_answer_is_a_chat_completion(provider: Provider) -> None:
    answer = await provider.complete(upstream_call("anthropic-ok-n4"))

    assert [json.loads(bytes(answer.fields[name])) for name in ("id", "created", "model")] == [
        "msg_1",
        17,
        "anthropic-ok-n4",
    ]
    assert (answer.finish_reasons, answer.usage, answer.text_bytes) == (("stop",), Usage(7, 4), len(answer_text(4)))


async def test_the_request_is_one_of_the_messages_api(upstream: Upstream, provider: Provider) -> None:
    await provider.complete(upstream_call("anthropic-ok", temperature=0.5, seed=7))

    (call,) = upstream.calls
    assert call.path == "/v1/messages"
    assert call.headers["anthropic-version"] == "2023-06-01"
    assert call.headers["x-api-key"] == "key"
    assert "authorization" not in call.headers
    assert call.json == {
        "model": "anthropic-ok",
        "max_tokens": 1000,
        "stream": False,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        "temperature": 0.5,
    }


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
async def test_the_address_may_have_its_version_or_not(upstream: Upstream, transport: Transport, suffix: str) -> None:
    await provider_at(upstream.url.removesuffix("/v1") + suffix, transport).complete(upstream_call("anthropic-ok"))

    assert upstream.calls[0].path == "/v1/messages"


async def test_without_a_credential_no_key_is_sent(upstream: Upstream, transport: Transport) -> None:
    await provider_at(upstream.url, transport, None).complete(upstream_call("anthropic-ok"))

    assert "x-api-key" not in upstream.calls[0].headers


async def test_stated_limits_are_heard(provider: Provider) -> None:
    heard: list[RateWindow] = []
    call = upstream_call("anthropic-limits")
    await provider.complete(type(call)(call.target, call.request, call.request_id, hear=heard.extend))

    assert [(window.unit, window.remaining) for window in heard] == [("requests", 3)]


async def test_a_stream_brings_role_text_finish_and_usage(upstream: Upstream, provider: Provider) -> None:
    frames = await collect(provider, upstream_call("anthropic-ok-n5", stream=True))

    assert text_of(frames) == answer_text(5)
    assert events_of(frames, Start) == [Start(0)]
    assert events_of(frames, Finish) == [Finish(0, "stop")]
    assert events_of(frames, UsageReport) == [UsageReport(Usage(7, 5))]
    assert upstream.calls[0].headers["accept"] == "text/event-stream"
    assert upstream.calls[0].json["stream"] is True


async def test_thinking_and_tool_calls_arrive(provider: Provider) -> None:
    thinking = await collect(provider, upstream_call("play-anthropic-thinking-before-text", stream=True))
    assert events_of(thinking, Reasoning) == [Reasoning(0, "Hm, "), Reasoning(0, "so.")]
    assert any(b'"signature"' in bytes(frame.fields["choices"]) for frame in thinking)

    calling = await collect(provider, upstream_call("play-anthropic-tool-calls", stream=True))
    assert events_of(calling, ToolCallStart) == [
        ToolCallStart(0, 0, "toolu_a", "weather"),
        ToolCallStart(0, 1, "toolu_b", "time"),
    ]
    assert len(events_of(calling, ToolArguments)) == 3


@pytest.mark.parametrize("behaviour", ["anthropic-stop-held-open", "play-anthropic-stop-reason-without-message-stop"])
async def test_a_finished_answer_is_complete_whatever_follows(provider: Provider, behaviour: str) -> None:
    with anyio.fail_after(60):
        frames = await collect(provider, upstream_call(behaviour, stream=True))

    assert len(events_of(frames, Finish)) == 1


async def test_message_stop_ends_the_answer_at_once(
    upstream: Upstream, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_stream, "TRAILER_GRACE_S", 3600.0)
    with anyio.fail_after(60):
        await collect(provider, upstream_call("anthropic-stop-held-open", stream=True))

    assert await to_thread.run_sync(upstream.wait_for_hang_ups, 1)


@pytest.mark.parametrize(
    ("behaviour", "failure_class"),
    [
        ("anthropic-cut", "stream_broken"),
        ("anthropic-garbage", "bad_response"),
        ("anthropic-disorder", "bad_response"),
        ("play-anthropic-cut-before-stop", "stream_broken"),
        ("play-anthropic-cut-in-an-event", "stream_broken"),
        ("play-anthropic-error-event", "overloaded"),
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
        ("html", "bad_response", "got text/html: is base_url the address of Anthropic's Messages API?"),
        ("empty-stream", "stream_broken", "ended before"),
        ("oversize", "bad_response", "bytes"),
        ("anthropic-too-long", "context_exceeded", "invalid_request_error"),
        ("anthropic-overloaded", "overloaded", "529"),
        ("anthropic-ok-not-streamed", "bad_response", "a stream was asked for"),
        ("429", "rate_limited", "429"),
        ("refused-key", "auth", "401"),
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
        ("ok", "bad_response", "not a message"),
        ("garbage", "bad_response", "could not be read"),
        ("error-with-200", "server_error", "overloaded"),
        ("anthropic-too-long", "context_exceeded", "400"),
        ("cut", "stream_broken", "broke"),
    ],
)
async def test_a_unary_call_that_goes_wrong_says_why(
    provider: Provider, behaviour: str, failure_class: FailureClass, words: str
) -> None:
    failure = await failure_of_complete(provider, upstream_call(behaviour))

    assert failure.failure_class == failure_class
    assert words in failure.message


async def test_the_callers_fault_comes_with_the_providers_own_words(provider: Provider) -> None:
    with pytest.raises(ProviderError) as caught:
        await provider.complete(upstream_call("anthropic-too-long"))

    assert caught.value.upstream_error is not None
    assert caught.value.upstream_error["message"] == "prompt is too long: 9 tokens > 8 maximum"


async def test_a_key_that_the_provider_quotes_goes_no_further(upstream: Upstream, transport: Transport) -> None:
    provider = provider_at(upstream.url, transport, "sk-ant-very-secret")
    with pytest.raises(ProviderError) as caught:
        await provider.complete(upstream_call("anthropic-quotes-the-key"))

    assert "sk-ant-very-secret" not in f"{caught.value.failure} {caught.value.upstream_error}"
    assert "(our key)" in str(caught.value.upstream_error)


async def test_what_the_api_cannot_do_is_the_callers_fault_and_is_not_asked_for(
    upstream: Upstream, provider: Provider
) -> None:
    failure = await failure_of_complete(provider, upstream_call("anthropic-ok", n=2))

    assert (failure.failure_class, failure.code) == ("invalid_request", "unsupported_parameter")
    assert upstream.calls == []


async def test_a_refused_connection_is_a_connect_failure(transport: Transport) -> None:
    failure = await failure_of_stream(provider_at(refusing_url(), transport), upstream_call(stream=True))

    assert failure.failure_class == "connect"


@pytest.mark.parametrize("behaviour", ["hang", "anthropic-stall"])
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
        await collect(provider, upstream_call("anthropic-ok", stream=True))

    assert [call.connection for call in upstream.calls] == [1, 1, 1]

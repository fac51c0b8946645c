"""The adapter against an upstream that behaves, and in every way does not."""

from collections.abc import Sequence

import anyio
import pytest
from anyio import to_thread

from tests.support.calls import upstream_call
from tests.support.upstream import Upstream, answer_text, refusing_url
from wardwright.domain.errors import Failure, FailureClass, ProviderError
from wardwright.domain.stream import Finish, Frame, Start, Text, ToolArguments, ToolCallStart, UsageReport
from wardwright.ports.provider import Provider, ProviderInfo, UpstreamCall
from wardwright.providers import answer_stream
from wardwright.providers.openai_compatible import OpenAICompatibleProvider
from wardwright.providers.transport import Transport

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

INFO = ProviderInfo(id="local", kind="openai-compatible")


@pytest.fixture
def provider(upstream: Upstream, transport: Transport) -> Provider:
    return OpenAICompatibleProvider(INFO, transport, upstream.url)


@pytest.fixture
def endless_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes whatever relies on the end of the grace for a trailer hang."""
    monkeypatch.setattr(answer_stream, "TRAILER_GRACE_S", 3600.0)


async def collect(provider: Provider, call: UpstreamCall, into: list[Frame] | None = None) -> list[Frame]:
    """All frames of a streamed answer; `into` holds those that came even when the stream fails."""
    frames = [] if into is None else into
    async with provider.stream(call) as batches:
        async for batch in batches:
            frames.extend(batch)
    return frames


async def failure_of_stream(provider: Provider, call: UpstreamCall, seen: list[Frame] | None = None) -> Failure:
    """The failure that a streamed call ends with; `seen` collects the frames before it."""
    with pytest.raises(ProviderError) as caught, anyio.fail_after(60):
        await collect(provider, call, seen)
    return caught.value.failure


async def failure_of_complete(provider: Provider, call: UpstreamCall) -> Failure:
    """The failure that a unary call ends with."""
    with pytest.raises(ProviderError) as caught, anyio.fail_after(60):
        await provider.complete(call)
    return caught.value.failure


def text_of(frames: Sequence[Frame]) -> str:
    return "".join(event.text for frame in frames for event in frame.events if isinstance(event, Text))


def events_of(frames: Sequence[Frame], kind: type) -> list[object]:
    return [event for frame in frames for event in frame.events if isinstance(event, kind)]


async def test_a_whole_answer_comes_back_with_its_fields_and_usage(provider: Provider) -> None:
    answer = await provider.complete(upstream_call("ok-n4"))

    assert answer.finish_reasons == ("stop",)
    assert answer.text_bytes == len(answer_text(4))
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.source) == (7, 4, "reported")
    assert bytes(answer.fields["system_fingerprint"]) == b'"fp_upstream"'


async def test_the_request_names_the_upstream_model_and_keeps_unknown_fields(
    upstream: Upstream, provider: Provider
) -> None:
    await provider.complete(upstream_call("ok", vendor_option={"a": [1]}, temperature=0.5))

    assert upstream.calls[0].path == "/v1/chat/completions"
    assert upstream.calls[0].json == {
        "model": "ok",
        "messages": [{"role": "user", "content": "Hello"}],
        "vendor_option": {"a": [1]},
        "temperature": 0.5,
    }


async def test_a_stream_asks_for_usage_and_for_events(upstream: Upstream, provider: Provider) -> None:
    await collect(provider, upstream_call(stream=True))

    assert upstream.calls[0].json["stream_options"] == {"include_usage": True}
    assert upstream.calls[0].headers["accept"] == "text/event-stream"


async def test_the_request_id_and_our_name_travel_upstream(upstream: Upstream, provider: Provider) -> None:
    await provider.complete(upstream_call())

    assert upstream.calls[0].headers["x-request-id"] == "req-1"
    assert upstream.calls[0].headers["user-agent"].startswith("wardwright/")


async def test_without_a_credential_no_authorization_is_sent(upstream: Upstream, provider: Provider) -> None:
    await provider.complete(upstream_call())

    assert "authorization" not in upstream.calls[0].headers


async def test_the_credential_is_asked_for_at_every_call(upstream: Upstream, transport: Transport) -> None:
    keys = iter(["first", "second"])
    provider = OpenAICompatibleProvider(INFO, transport, upstream.url, lambda: next(keys))

    await provider.complete(upstream_call())
    await provider.complete(upstream_call())

    assert [call.headers["authorization"] for call in upstream.calls] == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("key", ["with\nnewline", "sch\u00fcssel"])
async def test_a_credential_that_no_header_can_carry_fails_as_auth_without_being_shown(
    upstream: Upstream, transport: Transport, key: str
) -> None:
    provider = OpenAICompatibleProvider(INFO, transport, upstream.url, lambda: key)

    failure = await failure_of_complete(provider, upstream_call())

    assert failure.failure_class == "auth"
    assert key not in failure.message
    assert upstream.calls == []


async def test_a_base_url_may_end_in_a_slash(upstream: Upstream, transport: Transport) -> None:
    await OpenAICompatibleProvider(INFO, transport, f"{upstream.url}/").complete(upstream_call())

    assert upstream.calls[0].path == "/v1/chat/completions"


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "ftp://example.com",
        "example.com/v1",
        "http://",
        "https://user:key@example.com/v1",
        "https://example.com/v1?key=1",
    ],
)
async def test_a_base_url_that_cannot_be_asked_plainly_is_refused(transport: Transport, base_url: str) -> None:
    with pytest.raises(ValueError, match="base_url: expected"):
        OpenAICompatibleProvider(INFO, transport, base_url)


async def test_a_stream_brings_role_text_finish_and_usage(provider: Provider) -> None:
    frames = await collect(provider, upstream_call("ok-n5", stream=True))

    assert text_of(frames) == answer_text(5)
    assert events_of(frames, Start) == [Start(0)]
    assert events_of(frames, Finish) == [Finish(0, "stop")]
    (report,) = events_of(frames, UsageReport)
    assert isinstance(report, UsageReport)
    assert report.usage.completion_tokens == 5


async def test_each_chunk_is_handed_on_as_it_comes(provider: Provider) -> None:
    with anyio.fail_after(60):
        async with provider.stream(upstream_call("stall-n2", stream=True)) as batches:
            seen: list[Frame] = []
            async for batch in batches:
                seen.extend(batch)
                if text_of(seen) == answer_text(2):
                    break  # the upstream sends nothing more: had anything been held back, this would never come


async def test_a_tool_call_arrives_as_start_and_arguments(provider: Provider) -> None:
    frames = await collect(provider, upstream_call("tool-call", stream=True))

    assert events_of(frames, ToolCallStart) == [ToolCallStart(0, 0, "call_1", "look_up")]
    assert events_of(frames, ToolArguments) == [ToolArguments(0, 0, '{"city"'), ToolArguments(0, 0, ':"Bonn"}')]


async def test_a_stream_that_comes_byte_by_byte_is_the_same_stream(provider: Provider) -> None:
    frames = await collect(provider, upstream_call("byte-by-byte", stream=True))

    assert text_of(frames) == "na\u00efve \U0001f98a"
    assert events_of(frames, Finish) == [Finish(0, "stop")]


async def test_several_choices_all_have_to_finish(provider: Provider) -> None:
    frames = await collect(provider, upstream_call("two-choices", stream=True, n=2))

    assert events_of(frames, Finish) == [Finish(0, "stop"), Finish(1, "length")]


async def test_the_connection_of_a_complete_stream_is_used_again(upstream: Upstream, provider: Provider) -> None:
    for _ in range(3):
        await collect(provider, upstream_call(stream=True))

    assert [call.connection for call in upstream.calls] == [1, 1, 1]


@pytest.mark.parametrize("behaviour", ["no-done", "no-done-held-open", "finish-then-cut", "finish-then-reset"])
async def test_a_finished_stream_without_done_is_complete(provider: Provider, behaviour: str) -> None:
    with anyio.fail_after(60):
        frames = await collect(provider, upstream_call(behaviour, stream=True))

    assert text_of(frames) == answer_text()
    assert events_of(frames, Finish) == [Finish(0, "stop")]


async def test_done_ends_the_answer_although_the_connection_stays_open(
    upstream: Upstream, provider: Provider, endless_grace: None
) -> None:
    with anyio.fail_after(60):
        frames = await collect(provider, upstream_call("done-held-open", stream=True))

    assert text_of(frames) == answer_text()
    assert await to_thread.run_sync(upstream.wait_for_hang_ups, 1)


async def test_usage_that_comes_after_the_finish_reason_is_waited_for(provider: Provider, endless_grace: None) -> None:
    frames = await collect(provider, upstream_call("late-usage", stream=True))

    assert len(events_of(frames, UsageReport)) == 1


async def test_finish_frames_are_handed_on_before_usage_is_waited_for(provider: Provider, endless_grace: None) -> None:
    seen: list[Frame] = []
    with anyio.fail_after(60):
        async with provider.stream(upstream_call("no-done-held-open", stream=True)) as batches:
            while not events_of(seen, Finish):
                seen.extend(await anext(batches))


async def test_a_slow_reader_does_not_lose_usage_that_is_there(
    provider: Provider, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_stream, "TRAILER_GRACE_S", 0.3)
    frames: list[Frame] = []
    async with provider.stream(upstream_call("late-usage", stream=True)) as batches:
        async for batch in batches:
            frames.extend(batch)
            if events_of(batch, Finish):
                assert await to_thread.run_sync(upstream.wait_for_answers, 1)
                await anyio.sleep(0.5)  # longer than the grace: a client that reads slowly

    assert len(events_of(frames, UsageReport)) == 1


@pytest.mark.parametrize(
    ("behaviour", "failure_class"),
    [
        ("cut", "stream_broken"),
        ("reset-mid-stream", "stream_broken"),
        ("no-finish", "stream_broken"),
        ("no-finish-but-done", "stream_broken"),
        ("two-choices-one-unfinished", "stream_broken"),
        ("garbage", "bad_response"),
        ("bad-utf8", "bad_response"),
        ("error-in-stream", "server_error"),
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
        ("empty-stream", "stream_broken", "ended before"),
        ("wrong-shape", "bad_response", "could not be read"),
        ("oversize", "bad_response", "bytes"),
        ("error-first", "context_exceeded", "context_length_exceeded"),
        ("html", "bad_response", "expected text/event-stream, got text/html"),
        ("json-for-stream", "bad_response", "a stream was asked for"),
        ("error-with-200", "server_error", "overloaded"),
        ("compressed", "bad_response", "compressed"),
        ("redirect", "bad_response", "redirect"),
        ("close", "connect", "reset before headers"),
        ("not-http", "bad_response", "HTTP"),
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
        ("garbage", "bad_response", "could not be read"),
        ("wrong-shape", "bad_response", "choices"),
        ("html", "bad_response", "expected application/json, got text/html"),
        ("stream-for-unary", "bad_response", "got text/event-stream"),
        ("error-with-200", "server_error", "overloaded"),
        ("compressed", "bad_response", "compressed"),
        ("redirect", "bad_response", "redirect"),
        ("cut", "stream_broken", "broke"),
        ("reset", "connect", "reset before headers"),
        ("not-http", "bad_response", "HTTP"),
    ],
)
async def test_a_unary_call_that_goes_wrong_says_why(
    provider: Provider, behaviour: str, failure_class: FailureClass, words: str
) -> None:
    failure = await failure_of_complete(provider, upstream_call(behaviour))

    assert failure.failure_class == failure_class
    assert words in failure.message


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("behaviour", "failure_class", "status"),
    [
        ("429", "rate_limited", 429),
        ("500", "server_error", 500),
        ("503", "overloaded", 503),
        ("504", "timeout", 504),
        ("404", "invalid_request", 404),
        ("refused-key", "auth", 401),
        ("context-exceeded", "context_exceeded", 400),
        ("html-error", "server_error", 502),
        ("endless-error", "server_error", 500),
        ("cut-error", "server_error", 500),
    ],
)
async def test_an_error_status_is_classified(
    provider: Provider, behaviour: str, failure_class: FailureClass, status: int, stream: bool
) -> None:
    call = upstream_call(behaviour, stream=stream)
    failure = await (failure_of_stream(provider, call) if stream else failure_of_complete(provider, call))

    assert (failure.failure_class, failure.status) == (failure_class, status)
    assert str(status) in failure.message


@pytest.mark.parametrize(
    ("behaviour", "shortest", "longest"),
    [("429-seconds", 2, 2), ("429-ms", 1.5, 1.5), ("429-date", 20, 31)],
)
async def test_the_time_a_provider_asks_to_wait_is_kept(
    provider: Provider, behaviour: str, shortest: float, longest: float
) -> None:
    failure = await failure_of_complete(provider, upstream_call(behaviour))

    assert failure.retry_after_s is not None
    assert shortest <= failure.retry_after_s <= longest


async def test_the_callers_fault_comes_with_the_providers_own_error(provider: Provider) -> None:
    with pytest.raises(ProviderError) as caught:
        await provider.complete(upstream_call("context-exceeded"))

    assert caught.value.upstream_error is not None
    assert caught.value.upstream_error["message"] == "This model's maximum context is 10."


@pytest.mark.parametrize("behaviour", ["refused-key", "429", "500"])
async def test_a_providers_prose_about_its_own_troubles_goes_no_further(provider: Provider, behaviour: str) -> None:
    with pytest.raises(ProviderError) as caught:
        await provider.complete(upstream_call(behaviour))

    assert caught.value.upstream_error is None
    assert "Incorrect API key" not in caught.value.failure.message


async def test_an_answer_over_the_limit_is_a_bad_response(upstream: Upstream, transport: Transport) -> None:
    provider = OpenAICompatibleProvider(INFO, transport, upstream.url, max_answer_bytes=1_000_000)

    failure = await failure_of_complete(provider, upstream_call("oversize"))

    assert failure.failure_class == "bad_response"
    assert await to_thread.run_sync(upstream.wait_for_hang_ups, 1)


async def test_a_refused_connection_is_a_connect_failure(transport: Transport) -> None:
    provider = OpenAICompatibleProvider(INFO, transport, refusing_url())

    assert (await failure_of_complete(provider, upstream_call())).failure_class == "connect"
    assert (await failure_of_stream(provider, upstream_call(stream=True))).failure_class == "connect"


@pytest.mark.parametrize("behaviour", ["hang", "hang-after-headers"])
async def test_cancelling_a_unary_call_hangs_up_on_the_upstream(
    upstream: Upstream, provider: Provider, behaviour: str
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(provider.complete, upstream_call(behaviour))
        assert await to_thread.run_sync(upstream.wait_for_calls, 1)
        tasks.cancel_scope.cancel()

    assert await to_thread.run_sync(upstream.wait_for_hang_ups, 1)


@pytest.mark.parametrize("behaviour", ["hang", "hang-after-headers", "stall"])
async def test_cancelling_a_stream_hangs_up_on_the_upstream(
    upstream: Upstream, provider: Provider, behaviour: str
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(collect, provider, upstream_call(behaviour, stream=True))
        assert await to_thread.run_sync(upstream.wait_for_calls, 1)
        tasks.cancel_scope.cancel()

    assert await to_thread.run_sync(upstream.wait_for_hang_ups, 1)


async def test_leaving_a_stream_early_hangs_up_on_the_upstream(upstream: Upstream, provider: Provider) -> None:
    async with provider.stream(upstream_call("stall", stream=True)) as batches:
        await anext(batches)

    assert await to_thread.run_sync(upstream.wait_for_hang_ups, 1)


async def test_a_failure_that_happens_once_is_over_with_the_next_call(provider: Provider) -> None:
    assert (await failure_of_complete(provider, upstream_call("500-once"))).status == 500

    assert (await provider.complete(upstream_call("500-once"))).finish_reasons == ("stop",)


async def test_info_is_what_was_given_and_closing_may_be_repeated(upstream: Upstream, provider: Provider) -> None:
    await provider.complete(upstream_call())
    assert provider.info is INFO

    await provider.aclose()
    await provider.aclose()

    assert await to_thread.run_sync(upstream.wait_for_open_connections, 0)


async def test_concurrent_streams_do_not_mix(provider: Provider) -> None:
    texts: dict[int, str] = {}

    async def ask(count: int) -> None:
        texts[count] = text_of(await collect(provider, upstream_call(f"ok-n{count}-p1", stream=True)))

    async with anyio.create_task_group() as tasks:
        for count in range(1, 33):
            tasks.start_soon(ask, count)

    assert texts == {count: answer_text(count) for count in range(1, 33)}

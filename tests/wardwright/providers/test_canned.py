"""The scripted provider."""

from collections.abc import Sequence

import anyio
import pytest

from tests.support.calls import upstream_call
from wardwright.domain.chat import Usage
from wardwright.domain.errors import Failure, ProviderError
from wardwright.domain.stream import Finish, Frame, Start, Text, UsageReport
from wardwright.providers.canned import DEMO_OUTPUT, CannedProvider, ScriptedFailure
from wardwright.wire.openai import render_chunk, render_completion

pytestmark = pytest.mark.anyio

BROKEN = Failure(failure_class="stream_broken", message="cut by script")
REFUSED = Failure(failure_class="connect", message="refused by script")


async def collect(provider: CannedProvider, into: list[Frame] | None = None) -> list[Frame]:
    frames = [] if into is None else into
    async with provider.stream(upstream_call(stream=True)) as batches:
        async for batch in batches:
            frames.extend(batch)
    return frames


def texts_of(frames: Sequence[Frame]) -> list[str]:
    return [event.text for frame in frames for event in frame.events if isinstance(event, Text)]


async def test_by_default_it_says_that_no_model_was_asked() -> None:
    provider = CannedProvider("demo")

    assert provider.info.demo
    assert provider.info.kind == "canned"
    assert DEMO_OUTPUT.startswith("This is a demo answer")
    assert "".join(texts_of(await collect(provider))) == DEMO_OUTPUT


async def test_outputs_are_given_in_turn_whichever_way_they_are_asked_for() -> None:
    provider = CannedProvider("demo", ["one", "two"])

    assert texts_of(await collect(provider)) == ["one"]
    assert b"two" in render_completion(await provider.complete(upstream_call()), model="m", extra={})
    assert texts_of(await collect(provider)) == ["one"]


async def test_a_stream_is_complete_word_by_word() -> None:
    frames = await collect(CannedProvider("demo", ["  say it\n twice "]))

    events = [event for frame in frames for event in frame.events]
    assert texts_of(frames) == ["  say", " it", "\n twice", " "]
    assert events[0] == Start(0)
    assert events[-2] == Finish(0, "stop")
    assert isinstance(events[-1], UsageReport)


async def test_an_empty_output_is_an_answer_too() -> None:
    frames = await collect(CannedProvider("demo", [""]))

    assert [type(event) for frame in frames for event in frame.events] == [Start, Finish, UsageReport]


async def test_token_counts_are_marked_as_estimated() -> None:
    provider = CannedProvider("demo", ["12345678"])
    answer = await provider.complete(upstream_call())
    (report,) = [e for frame in await collect(provider) for e in frame.events if isinstance(e, UsageReport)]

    assert answer.usage == report.usage
    assert isinstance(answer.usage, Usage)
    assert (answer.usage.completion_tokens, answer.usage.source) == (2, "estimated")
    assert answer.usage.prompt_tokens > 0


async def test_its_frames_can_be_rendered_for_clients() -> None:
    frames = await collect(CannedProvider("demo", ["hi"], clock=lambda: 1700000000.9))

    rendered = render_chunk(frames[1], model="public", include_usage=True)

    assert rendered is not None
    assert b'"id":"chatcmpl-canned-1"' in rendered
    assert b'"created":1700000000' in rendered
    assert b'"model":"public"' in rendered


async def test_words_take_their_time() -> None:
    began = anyio.current_time()
    await collect(CannedProvider("demo", ["one two three"], chunk_delay_s=10))

    assert anyio.current_time() - began == pytest.approx(50)  # three words, finish and usage; the role comes at once


async def test_failures_come_first_in_their_order() -> None:
    provider = CannedProvider("demo", ["fine"], failures=[ScriptedFailure(REFUSED), None, ScriptedFailure(REFUSED)])

    with pytest.raises(ProviderError, match="refused by script"):
        await provider.complete(upstream_call())
    await provider.complete(upstream_call())
    with pytest.raises(ProviderError, match="refused by script"):
        await collect(provider)
    assert texts_of(await collect(provider)) == ["fine"]


async def test_a_failed_call_uses_up_no_output() -> None:
    provider = CannedProvider("demo", ["one", "two"], failures=[ScriptedFailure(REFUSED)])

    with pytest.raises(ProviderError):
        await collect(provider)

    assert texts_of(await collect(provider)) == ["one"]


async def test_a_stream_can_break_after_some_chunks() -> None:
    provider = CannedProvider("demo", ["one two three"], failures=[ScriptedFailure(BROKEN, after_chunks=2)])
    seen: list[Frame] = []

    with pytest.raises(ProviderError, match="cut by script"):
        await collect(provider, seen)

    assert texts_of(seen) == ["one"]


async def test_a_provider_without_outputs_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        CannedProvider("demo", [])


async def test_closing_may_be_repeated() -> None:
    provider = CannedProvider("demo")

    await provider.aclose()
    await provider.aclose()

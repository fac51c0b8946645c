"""The providers of test artifacts: a mock that says where it stands, and scripts by the number of a request's call."""

from typing import Any

import anyio
import msgspec
import pytest

from tests.support.calls import upstream_call
from wardwright.config.inline import Script
from wardwright.domain.errors import ProviderError
from wardwright.domain.stream import Text, UsageReport
from wardwright.ports.provider import Provider, UpstreamCall
from wardwright.providers.scripted import MockProvider, SequenceProvider

pytestmark = pytest.mark.anyio


async def told(provider: Provider, call: UpstreamCall) -> str:
    completion = await provider.complete(call)
    choices = msgspec.json.decode(completion.fields["choices"])
    text: str = choices[0]["message"]["content"]
    return text


async def streamed(provider: Provider, call: UpstreamCall, seen: list[str] | None = None) -> list[str]:
    """The texts of a stream; with `seen` they are also there when it breaks."""
    seen = [] if seen is None else seen
    async with provider.stream(call) as batches:
        async for batch in batches:
            seen += [e.text for frame in batch for e in frame.events if isinstance(e, Text) and e.text]
    return seen


def asked(model: str = "m", request_id: str = "req_1") -> UpstreamCall:
    return msgspec.structs.replace(upstream_call(model), request_id=request_id)


def sequence(**script: Any) -> SequenceProvider:
    return SequenceProvider("canned", {"m": Script(**script)})


class TestMock:
    async def test_it_says_where_the_request_went_and_how_long_it_was_thought_to_be(self) -> None:
        call = asked()
        text = await told(MockProvider("tiny"), call)
        assert text.startswith(f"Mock Wardwright response routed to {call.target.id}. Estimated prompt tokens: ")
        assert "".join(await streamed(MockProvider("tiny"), call)) == text

    async def test_its_counts_are_marked_as_estimates_and_it_as_no_model(self) -> None:
        provider = MockProvider("tiny")
        completion = await provider.complete(asked())
        assert completion.usage is not None
        assert completion.usage.source == "estimated"
        assert (provider.info.kind, provider.info.base_url, provider.info.demo) == ("mock", "mock://tiny", True)


class TestSequence:
    async def test_the_calls_of_one_request_go_through_the_outputs_and_stay_at_the_last(self) -> None:
        provider = sequence(outputs=("one", "two"))
        assert [await told(provider, asked()) for _ in range(3)] == ["one", "two", "two"]
        assert await told(provider, asked(request_id="req_2")) == "one"

    async def test_a_stream_has_the_chunks_of_its_call_then_those_of_every_call(self) -> None:
        provider = sequence(attempt_chunks=(("a", "b"),), stream_chunks=("x", "y"), outputs=("whole",))
        assert [await streamed(provider, asked()) for _ in range(3)] == [["a", "b"], ["x", "y"], ["x", "y"]]

    async def test_without_chunks_a_stream_is_its_output_in_one(self) -> None:
        assert await streamed(sequence(outputs=("one", "two")), asked()) == ["one"]

    async def test_a_whole_answer_of_chunks_alone_is_all_of_them(self) -> None:
        assert await told(sequence(stream_chunks=("a", "b")), asked()) == "ab"

    async def test_a_stream_may_break_after_its_chunks(self) -> None:
        provider = sequence(stream_chunks=("a", "b"), stream_error="the line went dead")
        seen: list[str] = []
        with pytest.raises(ProviderError, match="the line went dead") as caught:
            await streamed(provider, asked(), seen)
        assert seen == ["a", "b"]
        assert caught.value.failure.failure_class == "stream_broken"

    async def test_it_takes_its_time_before_an_output_and_before_every_chunk(self) -> None:
        provider = sequence(outputs=("x",), stream_chunks=("a", "b"), delay_ms=1000)
        began = anyio.current_time()
        await told(provider, asked())
        assert anyio.current_time() - began == pytest.approx(1)
        await streamed(provider, asked())
        assert anyio.current_time() - began == pytest.approx(5)  # two chunks, the finish, the usage

    async def test_its_usage_is_estimated(self) -> None:
        async with sequence(outputs=("one",)).stream(asked()) as batches:
            events = [event async for batch in batches for frame in batch for event in frame.events]
        (usage,) = [event.usage for event in events if isinstance(event, UsageReport)]
        assert usage.source == "estimated"

    async def test_a_model_without_a_script_is_not_there(self) -> None:
        with pytest.raises(ProviderError, match="no script"):
            await told(sequence(outputs=("x",)), asked("other"))

    async def test_requests_of_long_ago_are_forgotten(self) -> None:
        provider = sequence(outputs=("one", "two"))
        await told(provider, asked())
        for number in range(2000):
            await told(provider, asked(request_id=f"req_{number + 2}"))
        assert await told(provider, asked()) == "one"

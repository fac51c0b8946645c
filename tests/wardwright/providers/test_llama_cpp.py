"""The adapter for managed llama.cpp servers, against the real server with a real (small) model."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tests.support.calls import upstream_call
from tests.support.llama import LlamaServer
from tests.support.upstream import refusing_url
from wardwright.domain.errors import Failure, ProviderError
from wardwright.domain.stream import Finish, Frame, Start, Text, UsageReport
from wardwright.ports.provider import ProviderInfo
from wardwright.providers.llama_cpp import LlamaCppProvider, server_command
from wardwright.providers.transport import Transport, fault

pytestmark = [pytest.mark.anyio, pytest.mark.real_time, pytest.mark.slow]

TALKATIVE = {"ignore_eos": True}
"""llama.cpp's own field: the model goes on until its budget is spent, so that every answer has a known length."""

INFO = ProviderInfo(id="embedded", kind="llama-cpp")


@pytest.fixture(scope="module")
def server(weights: Path) -> Iterator[LlamaServer]:
    with LlamaServer(weights) as running:
        yield running


@pytest.fixture
def provider(transport: Transport, server: LlamaServer) -> LlamaCppProvider:
    return LlamaCppProvider(INFO, transport, server)


async def read_frames(provider: LlamaCppProvider, into: list[Frame], **fields: object) -> None:
    async with provider.stream(upstream_call("smollm2", stream=True, **fields)) as batches:
        async for batch in batches:
            into.extend(batch)


async def test_a_real_model_answers_whole(provider: LlamaCppProvider) -> None:
    answer = await provider.complete(upstream_call("smollm2", max_tokens=8, **TALKATIVE))

    assert answer.text_bytes > 0
    assert answer.finish_reasons == ("length",)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 8


async def test_a_real_model_answers_in_a_stream(provider: LlamaCppProvider) -> None:
    frames: list[Frame] = []
    await read_frames(provider, frames, max_tokens=8, **TALKATIVE)

    events = [event for frame in frames for event in frame.events]
    assert events[0] == Start(0)
    assert any(isinstance(event, Text) for event in events)
    assert Finish(0, "length") in events
    assert isinstance(events[-1], UsageReport)
    assert events[-1].usage.completion_tokens == 8


async def test_a_prompt_over_the_servers_window_is_context_exceeded(provider: LlamaCppProvider) -> None:
    with pytest.raises(ProviderError) as caught:
        await provider.complete(upstream_call("smollm2", messages=[{"role": "user", "content": "word " * 2000}]))

    assert caught.value.failure.failure_class == "context_exceeded"


async def test_a_server_that_dies_breaks_its_stream_and_the_next_call_finds_the_new_one(
    provider: LlamaCppProvider, server: LlamaServer
) -> None:
    frames: list[Frame] = []

    async def read_and_kill() -> None:
        async with provider.stream(upstream_call("smollm2", stream=True, max_tokens=400, **TALKATIVE)) as batches:
            async for batch in batches:
                frames.extend(batch)
                server.kill()

    with pytest.raises(ProviderError) as caught, anyio.fail_after(60):
        await read_and_kill()
    answer = await provider.complete(upstream_call("smollm2", max_tokens=2, **TALKATIVE))

    assert caught.value.failure.failure_class == "stream_broken"
    assert frames
    assert answer.finish_reasons == ("length",)


class NoServer:
    """A managed server that cannot be started."""

    async def base_url(self) -> str:
        raise fault("connect", "the model server did not become healthy in time")


class GoneServer:
    """A handle that does not know yet that its server died."""

    async def base_url(self) -> str:
        return refusing_url().removesuffix("/v1")


async def failures(provider: LlamaCppProvider) -> list[Failure]:
    """How a unary and a streamed call fail."""
    with pytest.raises(ProviderError) as unary:
        await provider.complete(upstream_call("smollm2"))
    with pytest.raises(ProviderError) as streamed:
        await read_frames(provider, [])
    return [unary.value.failure, streamed.value.failure]


async def test_a_server_that_cannot_start_is_a_connect_failure(transport: Transport) -> None:
    for failure in await failures(LlamaCppProvider(INFO, transport, NoServer())):
        assert (failure.failure_class, failure.message) == (
            "connect",
            "the model server did not become healthy in time",
        )


async def test_a_server_that_has_just_died_is_a_connect_failure(transport: Transport) -> None:
    for failure in await failures(LlamaCppProvider(INFO, transport, GoneServer())):
        assert failure.failure_class == "connect"


async def test_info_is_what_was_given_and_closing_may_be_repeated(transport: Transport) -> None:
    provider = LlamaCppProvider(INFO, transport, NoServer())

    assert provider.info is INFO
    await provider.aclose()
    await provider.aclose()


def test_the_command_runs_this_interpreter_and_names_its_parent() -> None:
    spec = server_command("short", Path("/models/a.gguf"), context_window=2048, threads=2, ready_timeout_s=7)

    command = spec.command(8123)

    assert command[:3] == [sys.executable, "-m", "wardwright.providers.llama_server"]
    assert command[command.index("--port") + 1] == "8123"
    assert command[command.index("--ctx") + 1] == "2048"
    assert command[command.index("--threads") + 1] == "2"
    assert "--parent" in command
    assert (spec.id, spec.health_path, spec.ready_timeout_s) == ("short", "/health", 7)


def test_the_command_takes_half_of_the_cores_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def threads() -> str:
        command = server_command("short", Path("a.gguf"), context_window=1).command(1)
        return command[command.index("--threads") + 1]

    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert threads() == "4"
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert threads() == "1"

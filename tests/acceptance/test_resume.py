"""Streams that break behind their release and are gone on with, over HTTP and on both event loops, as OpenAI's own client reads them."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.acceptance.daemon import Daemon, run_daemon
from tests.support.upstream import Upstream

STORY = "The quick  brown fox\n\njumps over thé lazy dog, and then — at last — finds its way home. 🦊 The end."
ROUTES = {
    "given": ("cut", "given"),
    "repeating": ("cut", "repeating"),
    "straying": ("cut", "other", "repeating"),
    "lost": ("cut", "other"),
    "watched": ("cut", "given"),
}
TARGETS = {
    "cut": ("tell-cut", '["chat", "tools"]'),
    "given": ("tell-on", '["chat", "tools", "prefill"]'),
    "repeating": ("tell-on@again", '["chat", "tools"]'),
    "other": ("tell-other", '["chat", "tools"]'),
}


def configuration(upstream: Upstream, backend: str) -> str:
    targets = "".join(
        f'[[targets]]\nid = "up/{name}"\nprovider = "up"\nupstream_model = "{behaviour}"\ncapabilities = {able}\n'
        "context_window = 8192\n"
        for name, (behaviour, able) in TARGETS.items()
    )
    models = "".join(
        f'[[models]]\nid = "{name}"\n[[models.cascades]]\nid = "steps"\nresume = "continue"\n'
        f"models = {json.dumps([f'up/{target}' for target in route])}\n"
        for name, route in ROUTES.items()
    )
    rule = '[[models.stream_rules]]\nid = "no-fox"\ncontains = "brown fox"\naction = "block"\n'
    return f"""
[runtime]
backend = "{backend}"

[[providers]]
id = "up"
kind = "openai-compatible"
base_url = "{upstream.url}"
breaker = {{ failures = 1000, open_s = 0.001 }}
{targets}
{models}{rule}"""


@pytest.fixture(scope="module")
def daemon(shared_upstream: Upstream, backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with run_daemon(tmp_path_factory.mktemp("resume"), configuration(shared_upstream, backend)) as running:
        yield running


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Upstream:
    shared_upstream.calls.clear()
    return shared_upstream


class Read:
    """What OpenAI's client makes of one stream: every chunk, its error, and the message that its own accumulator comes to."""

    def __init__(self, daemon: Daemon, model: str, *, until: int, **fields: Any) -> None:
        self.chunks: list[Any] = []
        self.error: openai.APIError | None = None
        told = {"tell": STORY, "tell_until": until, **fields}
        with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="unused", max_retries=0) as client:
            asked = client.chat.completions.stream(
                model=model,
                messages=[{"role": "user", "content": "tell me"}],
                stream_options={"include_usage": True},
                extra_body=told,
            )
            try:
                with asked as stream:
                    self.chunks = [event.chunk for event in stream if event.type == "chunk"]
                    self.message: Any = stream.get_final_completion().choices[0].message
            except openai.APIError as error:
                self.error = error
        [summary, *_] = daemon.receipts(model=model, limit=1)
        self.receipt = daemon.receipt(summary["receipt_id"])

    @property
    def deltas(self) -> list[Any]:
        return [choice for chunk in self.chunks for choice in chunk.choices]


@pytest.mark.parametrize("model", ["given", "repeating", "straying"])
@pytest.mark.parametrize("until", [2, 11, 22, 60, len(STORY)])
def test_the_client_reads_one_answer(daemon: Daemon, model: str, until: int) -> None:
    read = Read(daemon, model, until=until, tell_size=5)

    assert read.error is None
    assert read.message.content == STORY
    assert [choice.delta.role for choice in read.deltas if choice.delta.role] == ["assistant"]
    assert [choice.finish_reason for choice in read.deltas if choice.finish_reason] == ["stop"]
    assert {choice.index for choice in read.deltas} == {0}
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in read.chunks}) == 1
    attempts, final = read.receipt["attempts"], read.receipt["final"]
    heard = [attempt["usage"] for attempt in (attempts[0], attempts[-1])]
    assert read.chunks[-1].usage.total_tokens == sum(u["prompt_tokens"] + u["completion_tokens"] for u in heard)
    assert (final["status"], final["selected_model"]) == ("completed", attempts[-1]["model"])
    assert final["released_bytes"] == len(STORY.encode())
    seam = read.receipt["seams"][-1]
    assert seam["from_attempt"] == 1
    assert seam["by"] == ("prefill" if model == "given" else "repeat")
    assert seam["text_bytes"] == attempts[0]["released_bytes"] == len(STORY[:until].encode())


def test_a_server_is_given_the_beginning_in_its_own_words(daemon: Daemon, upstream: Upstream) -> None:
    Read(daemon, "given", until=22, max_tokens=40)

    asked = upstream.calls[-1].json
    assert asked["messages"][-1] == {"role": "assistant", "content": STORY[:22].rstrip()}
    assert (asked["continue_final_message"], asked["add_generation_prompt"]) == (True, False)
    assert asked["max_tokens"] == 35


def test_no_half_tool_call_reaches_the_client(daemon: Daemon) -> None:
    read = Read(daemon, "given", until=len(STORY), tell_call=True)

    [call] = read.message.tool_calls
    assert (call.id, call.function.name, json.loads(call.function.arguments)) == ("call_2", "look_up", {"word": "fox"})
    assert read.deltas[-1].finish_reason == "tool_calls"


def test_where_nobody_goes_on_the_stream_ends_with_one_error(daemon: Daemon) -> None:
    body = {"model": "lost", "stream": True, "messages": [{"role": "user", "content": "tell"}]}
    with daemon.client() as client:
        answer = client.post("/v1/chat/completions", json={**body, "tell": STORY, "tell_until": 20})
    payloads = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line]

    assert answer.status_code == 200
    assert "[DONE]" not in answer.text
    assert "".join(one["choices"][0]["delta"]["content"] for one in payloads[:-1]) == STORY[:20]
    assert payloads[-1]["error"]["code"] == "provider_error"
    receipt = daemon.receipt(payloads[-1]["wardwright"]["receipt_id"])
    assert [attempt["failure"]["failure_class"] for attempt in receipt["attempts"]] == ["stream_broken", "not_resumed"]
    assert receipt["final"]["selected_model"] == "up/cut"


@pytest.mark.parametrize("until", [9, 12, 14, 17])
def test_a_match_across_the_seam_is_caught(daemon: Daemon, until: int) -> None:
    read = Read(daemon, "watched", until=until, tell_size=3)

    assert read.error is not None
    assert read.error.code == "stream_policy_blocked"
    assert "fox" not in "".join(choice.delta.content or "" for choice in read.deltas)
    assert read.receipt["final"]["status"] == "stream_policy_blocked"
    assert len(read.receipt["seams"]) == 1

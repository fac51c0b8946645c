"""The openai client puts the same message together whether rules read a stream or not, as long as they find nothing.

The streams are those of `contracts/fixtures/streams`, as providers send them: text, reasoning, refusals, several choices, parallel
tool calls. The property over all answers and all ways to cut them is in `tests/wardwright/policy/test_stream_guard.py`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion

from tests.acceptance.daemon import Daemon, run_daemon
from tests.support.upstream import Upstream

FIXTURES = Path("contracts/fixtures/streams")
MODES = ("horizon", "semantic_boundary", "full_buffer")
INNOCENT = (
    'contains = "OldClient("\naction = "block"',
    "regex = '(?i)drop table [a-z]{1,20}'\naction = \"rewrite\"",
    "regex = 'to be left out[.!]?'\naction = \"drop\"",
)


def whole_answers() -> dict[str, dict[str, Any]]:
    """The fixtures of streams that come to their end, but for those that the client does not take for chunks."""
    found = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(FIXTURES.glob("*.json"))}
    return {
        name: fixture
        for name, fixture in found.items()
        if fixture["error"] is None and fixture["may_end"] and "chat.completion.chunk" in fixture["stream"][0]
    }


ANSWERS = whole_answers()


@pytest.fixture(scope="module")
def daemon(shared_upstream: Upstream, backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    rules = "".join(
        f'[[models.stream_rules]]\nid = "r{number}"\non = ["any"]\n{rule}\n' for number, rule in enumerate(INNOCENT)
    )
    models = '[[models]]\nid = "unruled"\n' + "".join(
        f'[[models]]\nid = "{mode}"\nstream_policy = {{ mode = "{mode}" }}\n{rules}' for mode in MODES
    )
    config = f"""
[runtime]
backend = "{backend}"

[[providers]]
id = "up"
kind = "openai-compatible"
base_url = "{shared_upstream.url}"

[[targets]]
id = "up/replay"
provider = "up"
context_window = 8192

{models}"""
    with run_daemon(tmp_path_factory.mktemp("accumulators"), config) as running:
        yield running


def final_completion(daemon: Daemon, model: str, answer: dict[str, Any]) -> dict[str, Any]:
    """What the client's own accumulator makes of a stream."""
    with (
        openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="unused", max_retries=0) as client,
        client.chat.completions.stream(
            model=model,
            messages=[{"role": "user", "content": "hello"}],
            n=answer["expected_choices"],
            stream_options={"include_usage": True},
            extra_body={"replay": answer["stream"]},
        ) as stream,
    ):
        try:
            final: ChatCompletion = stream.get_final_completion()
        except (
            openai.LengthFinishReasonError
        ) as cut_short:  # the client's way to tell of an answer with that finish reason
            final = cut_short.completion
    completion = final.model_dump()
    assert completion.pop("model") == model
    return completion


def test_every_kind_of_content_is_among_the_streams() -> None:
    kinds = {event["type"] for answer in ANSWERS.values() for frame in answer["frames"] for event in frame}
    assert {"text", "reasoning", "tool_call_start", "tool_arguments", "usage"} <= kinds
    assert {"two-choices", "parallel-tool-calls", "refusal", "reasoning-before-text"} <= set(ANSWERS)


@pytest.mark.parametrize("name", ANSWERS)
def test_the_message_is_the_same_with_rules_and_without(daemon: Daemon, name: str) -> None:
    answer = ANSWERS[name]
    unruled = final_completion(daemon, "unruled", answer)
    assert unruled["choices"], unruled
    for mode in MODES:
        assert final_completion(daemon, mode, answer) == unruled, mode
        assert daemon.receipts(limit=1)[0]["status"] == "completed"

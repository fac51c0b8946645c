"""The guide to testing a client keeps its word: its configuration, on a running daemon, does what its table says."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.daemon import Daemon, run_daemon
from tests.docs.pages import Block, blocks, code_in, table_rows

GUIDE = Path("docs/how-to/test-your-client.md")
BLOCKS = list(blocks(GUIDE))


def block_in(language: str) -> Block:
    (found,) = (block for block in BLOCKS if block.language == language)
    return found


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with run_daemon(tmp_path_factory.mktemp("guide"), block_in("toml").text) as running:
        yield running


def streamed(daemon: Daemon, model: str) -> tuple[Any, list[str]]:
    """The answer to a streamed call, and the data of its events."""
    answer = daemon.chat(model=model, stream=True)
    return answer, [event.removeprefix("data: ") for event in answer.text.strip().split("\n\n")]


def text_in(events: list[str]) -> str:
    chunks = [json.loads(event) for event in events if event != "[DONE]"]
    return "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if "choices" in c)


def test_the_models_that_answer_take_the_outputs_in_turn(daemon: Daemon) -> None:
    whole = daemon.chat(model="works").json()["choices"][0]["message"]["content"]
    _, events = streamed(daemon, "works")
    assert {whole, text_in(events)} == {"The first answer.", "The second answer."}
    assert events[-1] == "[DONE]"


def test_the_model_that_falls_back_answers_from_its_second_target(daemon: Daemon) -> None:
    answer, events = streamed(daemon, "falls-back")
    assert answer.headers["x-wardwright-attempts"] == "2"
    assert answer.headers["x-wardwright-selected-model"] == "script/any"
    assert events[-1] == "[DONE]"


def test_the_model_that_breaks_ends_in_an_error_after_its_first_word(daemon: Daemon) -> None:
    _, events = streamed(daemon, "breaks")
    assert text_in(events) == "An"
    assert json.loads(events[-1])["error"]["code"] == "provider_error"


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"model": "fails"}, 502, "provider_error"),
        ({"model": "works", "max_tokens": 5000}, 400, "context_length_exceeded"),
        ({"model": "nobody"}, 404, "model_not_found"),
    ],
)
def test_refusals_are_those_of_the_table(daemon: Daemon, fields: dict[str, Any], status: int, code: str) -> None:
    answer = daemon.chat(**fields)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    told = [f"{row[1][:3]} {code_in(row[1])[0]}" for row in table_rows(GUIDE) if row[1][:1] in "45"]
    assert f"{status} {code}" in told


def test_the_program_runs(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    program = block_in("python").text
    assert "http://127.0.0.1:8791" in program
    exec(compile(program.replace("http://127.0.0.1:8791", daemon.url), GUIDE, "exec"), {})
    assert capsys.readouterr().out.startswith("broken after 'An': ")

"""A real language model behind the public name: llama.cpp's server, run and supervised by the daemon."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import openai
import pydantic
import pytest

from tests.acceptance.daemon import Daemon, run_daemon
from tests.acceptance.load import streams
from tests.support.waiting import wait_until
from tests.support.weights import shared_weights

CONFIG = """
[[providers]]
id = "short"
kind = "llama-cpp"
model_path = "{weights}"
threads = 1
context_window = 2048
retry = {{ attempts = 3, base_ms = 1, max_ms = 5, max_wait_ms = 10 }}

[[providers]]
id = "long"
kind = "llama-cpp"
model_path = "{weights}"
threads = 1
context_window = 8192

[[providers]]
id = "unasked"
kind = "llama-cpp"
model_path = "{weights}"
context_window = 8192

[[targets]]
id = "local/short"
provider = "short"
context_window = 2048

[[targets]]
id = "local/long"
provider = "long"
context_window = 8192
capabilities = ["chat", "prefill"]

[[models]]
id = "coding-balanced"

[[models.dispatchers]]
id = "fit"
models = ["local/short", "local/long"]

[[models]]
id = "resumed"

[[models.cascades]]
id = "steps"
models = ["local/short", "local/long"]
resume = "continue"

[[models]]
id = "reminded"
route_root = "local/short"
stream_policy = {{ mode = "semantic_boundary" }}

[[models.stream_rules]]
id = "no-help"
regex = '(?i)\\b(hello|hi|help|assist|how)\\b'
action = "retry_with_reminder"
reminder = "Do not greet anybody. Answer with one number."
once_per = "request"
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    config = CONFIG.format(weights=shared_weights())
    with run_daemon(tmp_path_factory.mktemp("local"), config) as running:
        yield running


def server_of(daemon: Daemon, provider: str) -> dict[str, object]:
    state: dict[str, object] = daemon.get(f"/admin/runtime/actors/wardwright/providers/{provider}.server")["state"]
    return state


def test_the_model_answers_and_the_server_starts_on_demand(daemon: Daemon) -> None:
    answer = daemon.chat(model="coding-balanced", max_tokens=24, temperature=0)

    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"].strip()
    assert answer.json()["usage"]["completion_tokens"] > 0
    assert answer.headers["x-wardwright-selected-model"] == "local/short"
    assert server_of(daemon, "short")["state"] == "serving"
    assert server_of(daemon, "unasked")["state"] == "not started"


def test_room_for_a_long_answer_is_found_in_the_wider_window(daemon: Daemon) -> None:
    answer = daemon.chat(model="coding-balanced", max_tokens=4000, stop=[" "], temperature=0)

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-wardwright-selected-model"] == "local/long"
    receipt = daemon.receipt(answer.headers["x-wardwright-receipt-id"])
    assert [skip["target"] for skip in receipt["decision"]["skipped"]] == ["local/short"]


def test_a_rule_fires_on_what_the_model_really_says_and_it_is_asked_again_with_a_reminder(daemon: Daemon) -> None:
    said = daemon.chat(model="coding-balanced", max_tokens=24, temperature=0).json()["choices"][0]["message"]["content"]

    with streams(daemon, 1, model="reminded", prompt="hello", max_tokens=24, temperature=0) as seen:
        pass

    [answer] = seen
    assert answer.is_well_formed
    assert answer.error is None
    receipt = daemon.receipts(model="reminded")[0]
    told = daemon.receipt(receipt["receipt_id"])
    assert [attempt["status"] for attempt in told["attempts"]] == ["stopped", "completed"], (said, told)
    first, second = told["attempts"]
    assert (first["released_bytes"], first["usage"]["source"]) == (0, "estimated")
    assert second["usage"]["prompt_tokens"] > 0
    assert second["released_bytes"] == len(answer.text.encode()) > 0
    assert answer.text != said, "the reminder has changed what it says"
    assert receipt["stream_policy_action"] == "retry_with_reminder"


class Place(pydantic.BaseModel):
    """What a program wants to read."""

    city: str
    people: int


def test_an_answer_with_a_form_comes_as_the_object_that_a_client_asked_for(daemon: Daemon) -> None:
    asked: openai.types.chat.ChatCompletionMessageParam = {
        "role": "user",
        "content": "Name a city, and how many live there.",
    }
    with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="unused", max_retries=0) as client:
        parsed = client.chat.completions.parse(
            model="coding-balanced", messages=[asked], response_format=Place, max_tokens=400, temperature=0
        )
    assert isinstance(parsed.choices[0].message.parsed, Place)
    receipt = daemon.receipt(daemon.receipts(model="coding-balanced")[0]["receipt_id"])
    assert receipt["request"]["structured_output"] == {"response_format": "json_schema"}
    assert receipt["final"]["structured_output"]["final_status"] in ("completed", "completed_after_guard")


def test_kill_9_of_the_model_server_mid_stream_is_told_and_the_next_request_is_answered(daemon: Daemon) -> None:
    daemon.chat(model="coding-balanced", max_tokens=1)
    pid = server_of(daemon, "short")["pid"]
    assert isinstance(pid, int)
    restarts = daemon.actors()["wardwright/providers/short.server"]["restarts"]

    with streams(daemon, 1, model="coding-balanced", prompt="Write a long story.", max_tokens=900) as seen:
        os.kill(pid, signal.SIGKILL)

    assert all(one.is_well_formed and one.error is not None for one in seen), seen
    again = daemon.chat(model="coding-balanced", max_tokens=4)
    assert again.status_code == 200, again.text
    actor = daemon.actors()["wardwright/providers/short.server"]
    assert actor["restarts"] == restarts + 1
    assert "SIGKILL" in actor["last_exit"]
    assert server_of(daemon, "short")["pid"] != pid


def test_an_answer_whose_server_is_killed_is_gone_on_with_by_another_server(daemon: Daemon) -> None:
    daemon.chat(model="resumed", max_tokens=1)
    pid = server_of(daemon, "short")["pid"]
    assert isinstance(pid, int)

    with streams(daemon, 1, model="resumed", prompt="Write a long story.", max_tokens=300, temperature=0) as seen:
        os.kill(pid, signal.SIGKILL)

    [answer] = seen
    assert answer.done
    receipt = daemon.receipt(answer.receipt_id)
    [seam] = receipt["seams"]
    assert (seam["from_model"], seam["to_model"], seam["by"]) == ("local/short", "local/long", "prefill")
    first, second = receipt["attempts"]
    assert (first["status"], second["status"]) == ("failed", "completed")
    assert seam["text_bytes"] == first["released_bytes"] > 0
    assert first["released_bytes"] + second["released_bytes"] == len(answer.text.encode())
    assert second["released_bytes"] > 0
    begun = answer.text.encode()[: seam["text_bytes"]].decode()
    assert not answer.text[len(begun) :].startswith(begun[:20]), "it does not begin anew"


def test_killing_the_actor_of_the_model_server_leaves_no_process_behind_and_the_next_request_is_answered(
    daemon: Daemon,
) -> None:
    daemon.chat(model="coding-balanced", max_tokens=1)
    pid = server_of(daemon, "short")["pid"]

    daemon.kill_actor("wardwright/providers/short.server")

    assert daemon.chat(model="coding-balanced", max_tokens=1).status_code == 200
    assert not Path(f"/proc/{pid}").exists()


def test_the_server_goes_with_its_daemon(tmp_path: Path) -> None:
    with run_daemon(tmp_path, CONFIG.format(weights=shared_weights())) as daemon:
        daemon.chat(model="coding-balanced", max_tokens=1)
        pid = server_of(daemon, "short")["pid"]
        assert isinstance(pid, int)
        daemon.process.kill()
        daemon.process.wait()

        wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the server has not ended")

"""Answers with a form, over HTTP and on both event loops: the examples by which the original's guard is known, and clients' own helpers."""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import httpx2
import openai
import pydantic
import pytest

from tests.acceptance.daemon import Daemon, run_daemon
from tests.support.upstream import Upstream

ALLOWED = {"WARDWRIGHT_ALLOW_TEST_CONFIG": "1"}
GOOD = {"answer": "42", "confidence": 0.9}
SCHEMA = {
    "type": "object",
    "required": ["answer", "confidence"],
    "properties": {
        "answer": {"type": "string", "minLength": 1},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "citations": {"type": "array", "items": {"type": "string"}},
    },
    "additionalProperties": False,
}
MINIMUM = {"id": "minimum-confidence", "kind": "json_path_number", "path": "/confidence", "gte": 0.7}
HI: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]

both_ways = pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])


class Answer(pydantic.BaseModel):
    """What a program wants to read."""

    answer: str
    confidence: float


@pytest.fixture(scope="module")
def daemon(backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    config = f'[runtime]\nbackend = "{backend}"\n'
    with run_daemon(tmp_path_factory.mktemp("forms"), config, environment=ALLOWED) as running:
        yield running


class Seen(NamedTuple):
    """What a client sees of an answer, and its receipt."""

    status: int
    text: str
    is_done: bool
    error: dict[str, Any] | None
    headers: Mapping[str, str]
    receipt: dict[str, Any]

    @property
    def outcome(self) -> dict[str, Any]:
        found: dict[str, Any] = self.receipt["final"]["structured_output"]
        return found

    @property
    def kinds(self) -> list[str]:
        return [event["guard_type"] for event in self.outcome.get("guard_events", ())]


def place(daemon: Daemon, outputs: Sequence[Any], *, status: int = 200, **keys: Any) -> dict[str, Any]:
    """Put a model before the daemon that answers its n-th call with the n-th output, and the last from then on."""
    script = {
        "model": "canned/m",
        "context_window": 256,
        "provider_kind": "canned_sequence",
        "canned_outputs": outputs,
    }
    with daemon.client() as client:
        answer = client.post("/__test/config", json={"model_id": "oracle", "targets": [script], **keys})
        assert answer.status_code == status, answer.text
        placed: dict[str, Any] = answer.json()
        return placed


def ask(daemon: Daemon, **fields: Any) -> Seen:
    answer = daemon.chat(model="oracle", **fields)
    receipt = daemon.receipt(answer.headers["x-wardwright-receipt-id"])
    if answer.headers["content-type"].startswith("application/json"):
        body = answer.json()
        text = "".join(choice["message"]["content"] for choice in body.get("choices", ()))
        return Seen(answer.status_code, text, "error" not in body, body.get("error"), answer.headers, receipt)
    events = [line.removeprefix("data: ") for line in answer.text.strip().split("\n\n")]
    said = [json.loads(event) for event in events if event != "[DONE]"]
    text = "".join(choice["delta"].get("content") or "" for one in said for choice in one["choices"])
    return Seen(answer.status_code, text, events[-1] == "[DONE]", None, answer.headers, receipt)


def guarded(*rules: Mapping[str, Any], **loop: Any) -> dict[str, Any]:
    return {"schemas": {"answer": SCHEMA}, "semantic_rules": rules, "guard_loop": {"on_exhausted": "block", **loop}}


@both_ways
class TestTheSchemasOfAModel:
    def test_a_good_answer_is_given_as_it_came(self, daemon: Daemon, stream: bool) -> None:
        text = json.dumps(GOOD, indent=3)
        place(daemon, [text], structured_output=guarded(MINIMUM))
        seen = ask(daemon, stream=stream)
        assert (seen.status, seen.text, seen.is_done) == (200, text, True)
        assert seen.receipt["final"]["status"] == "completed"
        assert seen.outcome == {"final_status": "completed", "attempt_count": 1, "selected_schema": "answer"}
        assert seen.receipt["request"]["structured_output"] == {"schemas": ["answer"]}

    def test_faulty_answers_are_asked_for_anew(self, daemon: Daemon, stream: bool) -> None:
        outputs = ["{not json", {"answer": "no confidence"}, GOOD]
        place(daemon, outputs, structured_output=guarded(max_failures_per_rule=3, max_attempts=4))
        seen = ask(daemon, stream=stream)
        assert (seen.status, json.loads(seen.text), seen.is_done) == (200, GOOD, True)
        assert seen.headers["x-wardwright-attempts"] == "3"
        assert seen.receipt["final"]["status"] == "completed_after_guard"
        assert (seen.outcome["final_status"], seen.outcome["attempt_count"]) == ("completed_after_guard", 3)
        assert seen.kinds == ["json_syntax", "schema_validation"]
        attempts = seen.receipt["attempts"]
        assert [attempt["status"] for attempt in attempts] == ["rejected", "rejected", "completed"]
        assert [attempt["released_bytes"] for attempt in attempts[:2]] == [0, 0]
        assert all(attempt["usage"] for attempt in attempts), "rejected answers are paid for"
        assert "no confidence" not in json.dumps(seen.receipt)

    def test_a_rule_rejects_only_so_many(self, daemon: Daemon, stream: bool) -> None:
        outputs = [{**GOOD, "confidence": 0.1}, {**GOOD, "confidence": 0.2}, GOOD]
        place(daemon, outputs, structured_output=guarded(MINIMUM, max_failures_per_rule=2, max_attempts=4))
        seen = ask(daemon, stream=stream)
        assert seen.error is not None
        assert (seen.status, seen.error["code"], seen.error["type"]) == (
            422,
            "structured_output_exhausted",
            "policy_error",
        )
        assert seen.headers["x-should-retry"] == "false"
        assert seen.receipt["final"]["status"] == "structured_output_exhausted"
        assert seen.outcome["final_status"] == "exhausted_rule_budget"
        assert seen.outcome["exhausted_rule_id"] == "minimum-confidence"
        assert seen.kinds == ["semantic_validation"] * 2
        assert seen.receipt["final"]["released"] is False

    def test_no_more_answers_are_taken_than_may_be(self, daemon: Daemon, stream: bool) -> None:
        outputs = ["no", {**GOOD, "confidence": 0.1}, GOOD]
        place(daemon, outputs, structured_output=guarded(MINIMUM, max_attempts=2))
        seen = ask(daemon, stream=stream)
        assert (seen.status, len(seen.receipt["attempts"])) == (422, 2)
        assert seen.outcome["final_status"] == "exhausted_guard_budget"

    def test_the_upstream_calls_of_a_request_bound_them_all(self, daemon: Daemon, stream: bool) -> None:
        place(daemon, ["no"], structured_output=guarded(max_attempts=9), max_attempts=2)
        seen = ask(daemon, stream=stream)
        assert (seen.status, len(seen.receipt["attempts"])) == (422, 2)
        assert seen.outcome["final_status"] == "exhausted_attempts"

    def test_what_is_judged_is_what_stream_rules_release(self, daemon: Daemon, stream: bool) -> None:
        rule = {"id": "soften", "action": "rewrite", "contains": "sure", "replacement": "0.9"}
        place(daemon, ['{"answer": "42", "confidence": sure}'], structured_output=guarded(), stream_rules=[rule])
        seen = ask(daemon, stream=stream)
        assert (seen.status, json.loads(seen.text)) == (200, GOOD)
        assert seen.receipt["final"]["stream_policy"]["trigger_count"] == 1


@both_ways
class TestWhatARequestAsksFor:
    def asked(self, *, strict: bool = True) -> dict[str, Any]:
        return {"type": "json_schema", "json_schema": {"name": "answer", "strict": strict, "schema": SCHEMA}}

    def test_a_strict_schema_is_enforced(self, daemon: Daemon, stream: bool) -> None:
        place(daemon, ["Certainly!", GOOD])
        seen = ask(daemon, stream=stream, response_format=self.asked())
        assert (seen.status, json.loads(seen.text)) == (200, GOOD)
        assert seen.receipt["final"]["status"] == "completed_after_guard"
        assert seen.outcome["guard_events"][0]["rule_id"] == "response_format"
        assert seen.receipt["request"]["structured_output"] == {"response_format": "json_schema"}

    def test_a_json_object_is_enforced(self, daemon: Daemon, stream: bool) -> None:
        place(daemon, ["[]", "{}"])
        assert ask(daemon, stream=stream, response_format={"type": "json_object"}).text == "{}"

    def test_others_are_left_to_the_provider_unless_the_model_says_otherwise(
        self, daemon: Daemon, stream: bool
    ) -> None:
        place(daemon, ["Certainly!", GOOD])
        assert ask(daemon, stream=stream, response_format=self.asked(strict=False)).text == "Certainly!"
        assert ask(daemon, stream=stream, response_format={"type": "text"}).text == "Certainly!"
        place(daemon, ["Certainly!", GOOD], structured_output={"response_format": "enforce"})
        assert json.loads(ask(daemon, stream=stream, response_format=self.asked(strict=False)).text) == GOOD
        place(daemon, ["Certainly!", GOOD], structured_output={"response_format": "pass_on"})
        assert ask(daemon, stream=stream, response_format=self.asked()).text == "Certainly!"

    def test_a_schema_that_cannot_be_enforced_is_the_requests_fault(self, daemon: Daemon, stream: bool) -> None:
        place(daemon, [GOOD])
        asked = {"type": "json_schema", "json_schema": {"strict": True, "schema": {"$ref": "http://127.0.0.1:1/"}}}
        answer = daemon.chat(model="oracle", stream=stream, response_format=asked)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "invalid_request")
        assert error["param"] == "response_format.json_schema.schema"
        assert "outside of itself" in error["message"]


class TestToolArguments:
    """The upstream calls `look_up` with a city, whatever it is asked."""

    def asked(self, daemon: Daemon, upstream: Upstream, watched: str, **properties: Any) -> httpx2.Response:
        place_upstream(daemon, upstream, "tool-call", structured_output={"tool_arguments": watched})
        parameters = {
            "type": "object",
            "properties": properties,
            "required": [*properties],
            "additionalProperties": False,
        }
        function = {"name": "look_up", "strict": True, "parameters": parameters}
        return daemon.chat(model="asked", stream=True, tools=[{"type": "function", "function": function}])

    def test_that_match_leave_as_they_came(self, daemon: Daemon, shared_upstream: Upstream) -> None:
        answer = self.asked(daemon, shared_upstream, "strict", city={"type": "string"})
        assert answer.text.rstrip().endswith("[DONE]")
        receipt = daemon.receipt(answer.headers["x-wardwright-receipt-id"])
        assert receipt["request"]["structured_output"] == {"tools": 1}
        assert receipt["attempts"][0]["structured_output"] == {"accepted": True}

    def test_that_do_not_never_reach_the_client(self, daemon: Daemon, shared_upstream: Upstream) -> None:
        answer = self.asked(daemon, shared_upstream, "strict", city={"type": "integer"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "structured_output_exhausted")
        events = daemon.receipt(answer.headers["x-wardwright-receipt-id"])["final"]["structured_output"]["guard_events"]
        assert [(event["rule_id"], event["call"]) for event in events] == [("tool_arguments", 0)] * 3

    def test_are_left_to_the_client_where_nobody_asked(self, daemon: Daemon, shared_upstream: Upstream) -> None:
        answer = self.asked(daemon, shared_upstream, "pass_on", city={"type": "integer"})
        assert answer.text.rstrip().endswith("[DONE]")


def place_upstream(daemon: Daemon, upstream: Upstream, behaviour: str, **keys: Any) -> None:
    """Put a model before the daemon whose answers come from the test upstream."""
    target = {
        "model": f"up/{behaviour}",
        "context_window": 8192,
        "provider_kind": "openai-compatible",
        "provider_base_url": upstream.url,
    }
    with daemon.client() as client:
        answer = client.post("/__test/config", json={"model_id": "asked", "targets": [target], **keys})
        assert answer.status_code == 200, answer.text


def test_the_model_is_told_what_is_wrong_with_its_last_answer(daemon: Daemon, shared_upstream: Upstream) -> None:
    place_upstream(daemon, shared_upstream, "say", structured_output=guarded())
    shared_upstream.calls.clear()
    answers = [['{"answer": ', '"MARKER"}'], ["no"], [json.dumps(GOOD)]]
    answer = daemon.chat(model="asked", stream=True, say=answers, say_as=str(uuid.uuid4()))
    assert answer.text.rstrip().endswith("[DONE]")
    first, second, third = (call.json["messages"] for call in shared_upstream.calls)
    assert len(first) == 1
    assert [message["name"] for message in second[1:]] == ["wardwright_structured_output_guard"]
    assert '"confidence" is a required property' in second[1]["content"]
    assert len(third) == 2, "word of the last answer takes the place of word of the one before"
    assert "no valid JSON" in third[1]["content"]
    assert "MARKER" not in json.dumps(daemon.receipt(answer.headers["x-wardwright-receipt-id"]))


def test_a_model_with_faults_is_refused_with_all_of_them(daemon: Daemon) -> None:
    output = {
        "schemas": {"a": {"type": "nope"}, "b": {"pattern": "(?=x)"}},
        "semantic_rules": [{"kind": "json_path_number", "path": "/a"}, {"kind": "sentiment"}],
    }
    problems = place(daemon, [GOOD], structured_output=output, status=400)["wardwright"]["problems"]
    assert [problem["path"] for problem in problems] == [
        "structured_output.semantic_rules[1].kind",
        "structured_output.schemas.a",
        "structured_output.schemas.b",
        "structured_output.semantic_rules.semantic-rule.gte",
    ]


class TestAnOpenAIClient:
    """Its own helpers: they make a strict schema of a class, and objects of the answer."""

    def test_parses_what_was_repaired(self, daemon: Daemon) -> None:
        place(daemon, ["Certainly!", {"answer": "42"}, GOOD])
        with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="unused", max_retries=2) as client:
            parsed = client.chat.completions.parse(model="oracle", messages=HI, response_format=Answer)
            assert parsed.choices[0].message.parsed == Answer(answer="42", confidence=0.9)

    def test_parses_what_was_streamed(self, daemon: Daemon) -> None:
        place(daemon, ["Certainly!", GOOD])
        with (
            openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="unused", max_retries=2) as client,
            client.chat.completions.stream(model="oracle", messages=HI, response_format=Answer) as stream,
        ):
            final = stream.get_final_completion()
        assert final.choices[0].message.parsed == Answer(answer="42", confidence=0.9)

    def test_is_told_when_there_is_no_good_answer_and_does_not_try_again(self, daemon: Daemon) -> None:
        place(daemon, ["Certainly!"], model_id="hopeless")
        with (
            openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="unused", max_retries=2) as client,
            pytest.raises(openai.UnprocessableEntityError, match="no answer has the form"),
        ):
            client.chat.completions.parse(model="hopeless", messages=HI, response_format=Answer)
        assert len(daemon.receipts(model="hopeless")) == 1


def test_a_simulation_says_what_answers_would_be_held_to(daemon: Daemon) -> None:
    place(daemon, [GOOD], structured_output=guarded())
    request = {"messages": HI, "response_format": {"type": "json_object"}}
    with daemon.client() as client:
        answer = client.post("/v1/wardwright/simulate", json={"model": "oracle", "request": request})
    said = answer.json()["receipt"]["request"]["structured_output"]
    assert said == {"schemas": ["answer"], "response_format": "json_object"}

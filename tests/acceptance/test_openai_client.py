"""An unmodified openai client against a running daemon."""

from collections.abc import Iterator

import openai
import pytest

from tests.acceptance.conftest import gateway_config_of
from tests.acceptance.daemon import Daemon, run_daemon
from tests.support.upstream import Upstream, answer_text

HELLO: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def daemon(shared_upstream: Upstream, backend: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    models = {
        "test-model": ["ok-n5"],
        "pausing": ["ok-n3-p300"],
        "limited": ["429-date"],
        "broken": ["garbage"],
        "cut-off": ["no-finish"],
    }
    config = gateway_config_of(shared_upstream, models, backend=backend, extra="[server]\nping_seconds = 0.1\n")
    with run_daemon(tmp_path_factory.mktemp("daemon"), config) as running:
        yield running


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Upstream:
    shared_upstream.calls.clear()
    return shared_upstream


def client_of(daemon: Daemon) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="unused", max_retries=0)


def test_a_unary_answer_arrives_under_the_public_name(daemon: Daemon) -> None:
    with client_of(daemon) as client:
        answer = client.chat.completions.create(model="test-model", messages=HELLO)

    assert answer.choices[0].message.content == answer_text(5)
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "test-model"
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


def test_the_prefixed_name_calls_the_same_model_and_is_shown_as_asked(daemon: Daemon) -> None:
    with client_of(daemon) as client:
        answer = client.chat.completions.create(model="wardwright/test-model", messages=HELLO)

    assert answer.model == "wardwright/test-model"


def test_a_stream_that_pauses_is_pinged_and_reads_like_any_other(daemon: Daemon) -> None:
    with client_of(daemon) as client:
        with client.chat.completions.with_streaming_response.create(
            model="pausing", messages=HELLO, stream=True
        ) as answer:
            lines = [line for line in answer.iter_lines() if line]
        chunks = list(client.chat.completions.create(model="pausing", messages=HELLO, stream=True))

    assert lines.count(": ping") > 1
    assert lines[0].startswith("data: {")
    assert lines[-1] == "data: [DONE]"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == answer_text(3)


def test_a_stream_has_role_content_and_finish_reason_and_no_usage_unasked(daemon: Daemon) -> None:
    with client_of(daemon) as client:
        chunks = list(client.chat.completions.create(model="test-model", messages=HELLO, stream=True))

    deltas = [chunk.choices[0] for chunk in chunks]
    assert deltas[0].delta.role == "assistant"
    assert "".join(choice.delta.content or "" for choice in deltas) == answer_text(5)
    assert [choice.finish_reason for choice in deltas if choice.finish_reason] == ["stop"]
    assert deltas[-1].finish_reason == "stop"
    assert {chunk.model for chunk in chunks} == {"test-model"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


def test_usage_comes_last_when_asked_for(daemon: Daemon) -> None:
    with client_of(daemon) as client:
        stream = client.chat.completions.create(
            model="test-model", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)

    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens > 0
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_the_response_names_receipt_version_target_and_attempts(daemon: Daemon) -> None:
    with client_of(daemon) as client:
        raw = client.chat.completions.with_raw_response.create(model="test-model", messages=HELLO)

    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["x-wardwright-model-version"] == "v1"
    assert raw.headers["x-wardwright-selected-model"] == "up/0-ok-n5"
    assert raw.headers["x-wardwright-attempts"] == "1"
    receipt = daemon.receipt(raw.headers["x-wardwright-receipt-id"])
    assert receipt["final"]["status"] == "completed"
    assert receipt["decision"]["selected_model"] == "up/0-ok-n5"


def test_models_are_listed_twice_and_targets_never(daemon: Daemon) -> None:
    with client_of(daemon) as client:
        assert [model.id for model in client.models.list()] == [
            prefix + name
            for name in ("broken", "cut-off", "limited", "pausing", "test-model")
            for prefix in ("", "wardwright/")
        ]
        assert client.models.retrieve("wardwright/test-model").owned_by == "wardwright"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("up/0-ok-n5")


def test_an_unknown_model_is_the_clients_not_found(daemon: Daemon) -> None:
    with client_of(daemon) as client, pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="no-such-model", messages=HELLO)

    assert refused.value.code == "model_not_found"
    assert "test-model" in refused.value.message


def test_a_prompt_that_fits_nothing_is_a_bad_request_with_a_receipt(daemon: Daemon, upstream: Upstream) -> None:
    with client_of(daemon) as client, pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="test-model", messages=[{"role": "user", "content": "x" * 40_000}])

    assert refused.value.code == "context_length_exceeded"
    assert "10001" in refused.value.message
    assert "8192" in refused.value.message
    assert upstream.calls == []
    [summary] = daemon.receipts(status="route_blocked")
    assert summary["model_id"] == "test-model"


def test_an_upstream_rate_limit_is_the_clients_rate_limit(daemon: Daemon) -> None:
    with client_of(daemon) as client, pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(model="limited", messages=HELLO)

    assert refused.value.code == "rate_limit_exceeded"
    assert 25 <= int(refused.value.response.headers["retry-after"]) <= 31


def test_a_broken_upstream_is_the_clients_server_error(daemon: Daemon) -> None:
    with client_of(daemon) as client, pytest.raises(openai.InternalServerError) as failed:
        client.chat.completions.create(model="broken", messages=HELLO)

    assert failed.value.status_code == 502
    assert failed.value.code == "provider_error"


def test_a_stream_that_breaks_after_release_raises_in_the_client(daemon: Daemon) -> None:
    with client_of(daemon) as client:
        stream = client.chat.completions.create(model="cut-off", messages=HELLO, stream=True)
        with pytest.raises(openai.APIError) as broken:
            list(stream)

    assert broken.value.code == "provider_error"
    [summary] = daemon.receipts(model="cut-off")
    assert summary["status"] == "provider_error"

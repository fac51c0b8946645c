"""The one table from errors to HTTP answers, held to the contract and to every error that can reach it."""

import ast
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wardwright
from wardwright.domain import errors
from wardwright.domain.errors import (
    ActorRestarting,
    AnswerRefused,
    Conflict,
    ContextLengthExceeded,
    DeadlineExceeded,
    Failure,
    FailureClass,
    Forbidden,
    InternalError,
    NoTargetAvailable,
    NotFound,
    Overloaded,
    ProviderError,
    RateLimitExceeded,
    RequestError,
    RequestTooLarge,
    RouteBlocked,
    StorageUnavailable,
    Unauthorized,
    UnknownModel,
    UnsupportedMediaType,
    WardwrightError,
)
from wardwright.edge.errors import STATUS_BY_CODE, error_answer, http_error_answer

CONTRACT = {
    "invalid_request": 400,
    "context_length_exceeded": 400,
    "unsupported_parameter": 400,
    "model_internal": 403,
    "protected_endpoint": 403,
    "policy_blocked": 403,
    "route_blocked": 403,
    "model_not_found": 404,
    "receipt_not_found": 404,
    "not_found": 404,
    "request_too_large": 413,
    "unsupported_media_type": 415,
    "stream_policy_blocked": 422,
    "stream_policy_retries_exhausted": 422,
    "stream_policy_hold_exceeded": 422,
    "rate_limit_exceeded": 429,
    "provider_error": 502,
    "no_target_available": 503,
    "overloaded": 503,
    "storage_unavailable": 503,
    "actor_restarting": 503,
    "deadline_exceeded": 504,
    "internal_error": 500,
}

# One of each kind: status, code, type, whether clients should try again, Retry-After.
ANSWERS: list[tuple[WardwrightError, tuple[int, str, str], bool, str | None]] = [
    (WardwrightError("x"), (500, "internal_error", "server_error"), False, None),
    (RequestError("x"), (400, "invalid_request", "invalid_request_error"), False, None),
    (
        RequestError("x", code="unsupported_parameter"),
        (400, "unsupported_parameter", "invalid_request_error"),
        False,
        None,
    ),
    (UnknownModel("x"), (404, "model_not_found", "invalid_request_error"), False, None),
    (ContextLengthExceeded("x"), (400, "context_length_exceeded", "invalid_request_error"), False, None),
    (RequestTooLarge("x"), (413, "request_too_large", "invalid_request_error"), False, None),
    (AnswerRefused("x", "stream_policy_blocked"), (422, "stream_policy_blocked", "policy_error"), False, None),
    (UnsupportedMediaType("x"), (415, "unsupported_media_type", "invalid_request_error"), False, None),
    (Unauthorized("x"), (401, "invalid_api_key", "invalid_request_error"), False, None),
    (Forbidden("x", "protected_endpoint"), (403, "protected_endpoint", "permission_error"), False, None),
    (Forbidden("x", "model_internal"), (403, "model_internal", "permission_error"), False, None),
    (NotFound("x"), (404, "not_found", "invalid_request_error"), False, None),
    (NotFound("x", "receipt_not_found"), (404, "receipt_not_found", "invalid_request_error"), False, None),
    (Conflict("x"), (409, "version_conflict", "invalid_request_error"), False, None),
    (NoTargetAvailable("x"), (503, "no_target_available", "server_error"), True, None),
    (NoTargetAvailable("x", 6.2), (503, "no_target_available", "server_error"), True, "7"),
    (RateLimitExceeded("x"), (429, "rate_limit_exceeded", "rate_limit_error"), True, "1"),
    (RateLimitExceeded("x", 30.0), (429, "rate_limit_exceeded", "rate_limit_error"), True, "30"),
    (RouteBlocked("x"), (403, "route_blocked", "permission_error"), False, None),
    (RouteBlocked("x", "policy_blocked"), (403, "policy_blocked", "permission_error"), False, None),
    (Overloaded("x", 0.2), (503, "overloaded", "server_error"), True, "1"),
    (DeadlineExceeded("x"), (504, "deadline_exceeded", "server_error"), True, None),
    (StorageUnavailable("x"), (503, "storage_unavailable", "server_error"), True, "1"),
    (ActorRestarting("x"), (503, "actor_restarting", "server_error"), True, "1"),
    (InternalError("x"), (500, "internal_error", "server_error"), True, None),
]

# Of each class of failure: status, code, type, whether clients should try again, Retry-After, and what they are told about it.
PROVIDER_ANSWERS: dict[FailureClass, tuple[tuple[int, str, str], bool, str | None, str]] = {
    "connect": ((502, "provider_error", "server_error"), False, None, "could not be reached"),
    "timeout": ((502, "provider_error", "server_error"), False, None, "their words"),
    "rate_limited": ((429, "rate_limit_exceeded", "rate_limit_error"), True, "1", "is limiting requests"),
    "overloaded": ((503, "overloaded", "server_error"), True, "1", "is overloaded"),
    "server_error": ((502, "provider_error", "server_error"), False, None, "failed on this request"),
    "auth": ((502, "provider_error", "server_error"), False, None, "refused the gateway's credentials"),
    "context_exceeded": ((400, "context_length_exceeded", "invalid_request_error"), False, None, "their words"),
    "content_filter": ((400, "content_filter", "invalid_request_error"), False, None, "their words"),
    "invalid_request": ((400, "invalid_request", "invalid_request_error"), False, None, "their words"),
    "bad_response": ((502, "provider_error", "server_error"), False, None, "cannot be understood"),
    "stream_broken": ((502, "provider_error", "server_error"), False, None, "broke off its answer"),
    "not_resumed": ((502, "provider_error", "server_error"), False, None, "did not go on"),
}


def codes_named_below_the_edge() -> Iterator[tuple[str, str]]:
    """Every code that a call of an error class spells out, in the packages whose errors reach the edge."""
    root = Path(wardwright.__file__).parent
    classes = {name for name, _ in inspect.getmembers(errors, _is_error)} | {"Refusal", "Outcome"}
    for package in ("domain", "wire", "receipts", "planner", "runtime", "edge"):
        for file in sorted((root / package).glob("*.py")):
            for call in (node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)):
                name = call.func.id if isinstance(call.func, ast.Name) else ""
                if name in ("Forbidden", "NotFound"):
                    spelled = call.args[1:2] + [word.value for word in call.keywords if word.arg == "code"]
                elif name == "Refusal":
                    spelled = call.args[:1]
                elif name in classes:
                    spelled = [word.value for word in call.keywords if word.arg == "code"]
                else:
                    continue
                constants = [node.value for node in spelled if isinstance(node, ast.Constant)]
                yield from ((file.name, code) for code in constants if isinstance(code, str))


def _is_error(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, WardwrightError)


class TestTable:
    def test_it_is_the_contracts(self) -> None:
        assert CONTRACT.items() <= STATUS_BY_CODE.items()

    def test_every_class_of_error_has_its_row(self) -> None:
        classes = [kind for _, kind in inspect.getmembers(errors, _is_error)]
        assert {type(error) for error, *_ in ANSWERS} | {ProviderError} == set(classes)
        assert {kind.code for kind in classes} <= STATUS_BY_CODE.keys()

    def test_every_code_that_is_named_anywhere_has_its_row(self) -> None:
        named = list(codes_named_below_the_edge())
        assert len(named) >= 5
        assert [(file, code) for file, code in named if code not in STATUS_BY_CODE] == []

    def test_every_class_of_failure_has_its_row(self) -> None:
        assert PROVIDER_ANSWERS.keys() == set(get_args(FailureClass))


class TestAnswers:
    @pytest.mark.parametrize(("error", "told", "is_retryable", "retry_after"), ANSWERS)
    def test_an_error_of_ours(
        self, error: WardwrightError, told: tuple[int, str, str], is_retryable: bool, retry_after: str | None
    ) -> None:
        assert error_answer(error).message == "x"
        self.check(error, told, is_retryable=is_retryable, retry_after=retry_after)

    @pytest.mark.parametrize("failure_class", get_args(FailureClass))
    def test_a_failure_of_a_provider(self, failure_class: FailureClass) -> None:
        told, is_retryable, retry_after, words = PROVIDER_ANSWERS[failure_class]
        error = ProviderError(Failure(failure_class, "their words", status=418))
        assert words in error_answer(error).message
        self.check(error, told, is_retryable=is_retryable, retry_after=retry_after)

    @pytest.mark.parametrize("status", [404, 405, 410])
    def test_a_model_or_endpoint_that_is_not_there_is_not_blamed_on_the_caller(self, status: int) -> None:
        answer = error_answer(ProviderError(Failure("invalid_request", "no such model", status=status)))
        assert (answer.status, answer.code, answer.type) == (502, "provider_error", "server_error")
        assert "no such model" not in answer.message
        assert "does not know the model" in answer.message

    def check(
        self, error: WardwrightError, told: tuple[int, str, str], *, is_retryable: bool, retry_after: str | None
    ) -> None:
        answer = error_answer(error)
        assert (answer.status, answer.code, answer.type) == told
        advice = dict(answer.headers)
        assert len(advice) == len(answer.headers)
        assert advice.get("x-should-retry") == (None if is_retryable else "false")
        assert advice.get("retry-after") == retry_after
        assert advice.keys() <= {"x-should-retry", "retry-after"}

    @pytest.mark.parametrize("error", [error for error, *_ in ANSWERS])
    def test_when_the_attempts_are_spent_nobody_should_try_again(self, error: WardwrightError) -> None:
        assert ("x-should-retry", "false") in error_answer(error, attempts_spent=True).headers

    def test_the_field_to_mend_is_named(self) -> None:
        assert error_answer(RequestError("x", param="messages[0].role")).param == "messages[0].role"

    @pytest.mark.parametrize(
        ("asked_s", "told"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.5, "2"), (2.0, "2"), (3.0, "3"), (59.01, "60")]
    )
    def test_what_a_provider_asked_to_wait_is_passed_on_in_whole_seconds(self, asked_s: float, told: str) -> None:
        for failure_class in ("rate_limited", "overloaded"):
            error = ProviderError(Failure(failure_class, "x", retry_after_s=asked_s))
            assert dict(error_answer(error).headers)["retry-after"] == told

    @given(st.floats(min_value=0, max_value=1e9))
    def test_nobody_is_told_to_come_back_too_early_or_a_second_too_late(self, asked_s: float) -> None:
        error = ProviderError(Failure("rate_limited", "x", retry_after_s=asked_s))
        told = int(dict(error_answer(error).headers)["retry-after"])
        assert asked_s <= told < max(asked_s, 0.5) + 1

    def test_a_failure_that_is_no_limit_promises_no_time(self) -> None:
        error = ProviderError(Failure("server_error", "x", retry_after_s=5))
        assert "retry-after" not in dict(error_answer(error).headers)


class TestTheProvidersWords:
    @pytest.mark.parametrize("failure_class", ["invalid_request", "content_filter", "context_exceeded"])
    def test_what_it_blames_on_the_request_is_told_in_its_words_under_our_code(
        self, failure_class: FailureClass
    ) -> None:
        words = {"message": "bad role", "type": "their_type", "code": "their_code", "param": "messages[0]"}
        answer = error_answer(ProviderError(Failure(failure_class, "x"), upstream_error={**words}))
        told, *_ = PROVIDER_ANSWERS[failure_class]
        assert (answer.status, answer.code, answer.type) == told
        assert (answer.message, answer.param) == ("bad role", "messages[0]")

    @pytest.mark.parametrize("words", [{}, {"message": "", "code": None, "type": 7, "param": {}}], ids=["none", "odd"])
    def test_words_it_lacks_are_ours(self, words: dict[str, object]) -> None:
        answer = error_answer(ProviderError(Failure("invalid_request", "x"), upstream_error=words))
        assert (answer.message, answer.param) == ("x", None)

    @pytest.mark.parametrize(
        "failure_class",
        ["connect", "rate_limited", "overloaded", "server_error", "auth", "bad_response", "stream_broken"],
    )
    def test_of_its_own_troubles_it_does_not_speak_to_our_clients(self, failure_class: FailureClass) -> None:
        words: dict[str, object] = {"message": "key sk-123 is out of funds"}
        answer = error_answer(ProviderError(Failure(failure_class, "http://10.0.0.7 says no"), upstream_error=words))
        assert "sk-123" not in answer.message
        assert "10.0.0.7" not in answer.message


class TestRendering:
    def test_the_envelope(self) -> None:
        answer = error_answer(RequestError("expected a list", param="messages"))
        assert json.loads(answer.render()) == {
            "error": {
                "message": "expected a list",
                "type": "invalid_request_error",
                "param": "messages",
                "code": "invalid_request",
            }
        }
        assert json.loads(answer.render({"receipt_id": "rcpt_1"}))["wardwright"] == {"receipt_id": "rcpt_1"}

    def test_no_endpoint_and_the_wrong_method(self) -> None:
        nothing, wrong = http_error_answer(404, "GET", "/x"), http_error_answer(405, "PUT", "/v1/models")
        assert (nothing.status, nothing.code, nothing.message) == (404, "not_found", "there is nothing at /x")
        assert (wrong.status, wrong.code) == (405, "method_not_allowed")
        assert wrong.message == "PUT is not allowed on /v1/models"

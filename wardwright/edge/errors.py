"""The one table from errors to HTTP answers (contract, section 7)."""

import difflib
import math
from collections.abc import Mapping, Sequence

import msgspec

from wardwright.config.problems import ConfigError
from wardwright.domain.errors import FailureClass, ProviderError, RequestError, StorageUnavailable, WardwrightError
from wardwright.wire.errors import render_error

STATUS_BY_CODE: Mapping[str, int] = {
    "invalid_request": 400,
    "context_length_exceeded": 400,
    "unsupported_parameter": 400,
    "content_filter": 400,
    "invalid_config": 400,
    "invalid_test_config": 400,
    "invalid_api_key": 401,
    "model_internal": 403,
    "protected_endpoint": 403,
    "policy_blocked": 403,
    "route_blocked": 403,
    "model_not_found": 404,
    "receipt_not_found": 404,
    "caller_erased": 404,
    "version_not_found": 404,
    "actor_not_found": 404,
    "api_key_not_found": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "version_conflict": 409,
    "request_too_large": 413,
    "unsupported_media_type": 415,
    "stream_policy_blocked": 422,
    "stream_policy_retries_exhausted": 422,
    "stream_policy_hold_exceeded": 422,
    "structured_output_exhausted": 422,
    "rate_limit_exceeded": 429,
    "internal_error": 500,
    "provider_error": 502,
    "no_target_available": 503,
    "overloaded": 503,
    "storage_unavailable": 503,
    "actor_restarting": 503,
    "deadline_exceeded": 504,
}

_TYPES = {403: "permission_error", 422: "policy_error", 429: "rate_limit_error"}
# How long to wait where nothing better is known; of a missing target nothing is said unless it is.
_RETRY_AFTER_S: Mapping[str, int | None] = {
    "actor_restarting": 1,
    "overloaded": 1,
    "storage_unavailable": 1,
    "rate_limit_exceeded": 1,
    "no_target_available": None,
}
_NO_RECEIPT = "the receipt of this request cannot be stored now, and without one nothing is answered"
_LONGEST_COMPARED = 200
_MUCH_ALIKE = 0.8  # a missing, doubled or misspelt part of a path is above it, another endpoint's name below
_CALLERS_FAULT = ("invalid_request", "unsupported_parameter", "content_filter", "context_length_exceeded")
_PROVIDER_FAULTS: Mapping[FailureClass, str] = {
    "connect": "could not be reached",
    "rate_limited": "is limiting requests",
    "overloaded": "is overloaded",
    "server_error": "failed on this request",
    "auth": "refused the gateway's credentials",
    "bad_response": "gave an answer that cannot be understood",
    "stream_broken": "broke off its answer",
    "not_resumed": "did not go on with the answer that was begun",
    "invalid_request": "does not know the model or the endpoint it is configured with",
}


class ErrorAnswer(msgspec.Struct, frozen=True):
    """An error as it goes out: HTTP status, the fields of its envelope, and headers beyond the usual ones."""

    status: int
    message: str
    type: str
    param: str | None
    code: str | None
    headers: tuple[tuple[str, str], ...] = ()

    def render(self, wardwright: Mapping[str, object] | None = None) -> bytes:
        """The JSON envelope."""
        return render_error(self.message, self.type, self.code, self.param, wardwright)


def error_answer(error: WardwrightError, *, attempts_spent: bool = False) -> ErrorAnswer:
    """How to answer an error.

    A refusal that the provider blames on the request keeps the provider's own message and parameter, so that the caller can act on
    them; the code is ours, from the closed list. Of any other provider failure the caller is told the kind and no more: addresses
    and names of credentials are the operator's, and stand in the receipt. `attempts_spent` tells clients not to multiply retries
    that were already made here.
    """
    status = STATUS_BY_CODE[error.code]
    message, param = error.message, error.param if isinstance(error, RequestError) else None
    if isinstance(error, ProviderError):
        message, param = _provider_words(error)
    kind = _TYPES.get(status, _default_type(status))
    return ErrorAnswer(status, message, kind, param, error.code, _advice(error, attempts_spent=attempts_spent))


def as_callers_read_it(error: WardwrightError) -> WardwrightError:
    """An error for whoever asks a model: where receipts are kept, and which sink is behind, is for operators, in the log and in `/admin/readiness`."""
    return StorageUnavailable(_NO_RECEIPT) if isinstance(error, StorageUnavailable) else error


def _provider_words(error: ProviderError) -> tuple[str, str | None]:
    """What a caller may read of a provider's failure: message and parameter."""
    if error.code in _CALLERS_FAULT:
        upstream = error.upstream_error or {}
        return _text(upstream.get("message")) or error.message, _text(upstream.get("param"))
    failure = error.failure
    if failure.failure_class == "timeout" and failure.clock != "connect":
        return error.message, None
    kind = "connect" if failure.failure_class == "timeout" else failure.failure_class
    return f"the provider behind this model {_PROVIDER_FAULTS[kind]}", None


def error_facts(error: WardwrightError) -> Mapping[str, object] | None:
    """What stands beside an error that belongs to no accepted request: of a configuration, every problem by itself."""
    if not isinstance(error, ConfigError):
        return None
    return {"problems": [{"path": problem.path, "message": problem.message} for problem in error.problems]}


def http_error_answer(status: int, method: str, path: str, *, served: Sequence[str] = ()) -> ErrorAnswer:
    """How to answer a request that met no endpoint; a path much like one of those served is told that one."""
    if status == 405:
        return ErrorAnswer(
            405, f"{method} is not allowed on {path}", "invalid_request_error", None, "method_not_allowed"
        )
    nearest = difflib.get_close_matches(path[:_LONGEST_COMPARED], served, n=1, cutoff=_MUCH_ALIKE)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    return ErrorAnswer(404, f"there is nothing at {path}{hint}", "invalid_request_error", None, "not_found")


def _advice(error: WardwrightError, *, attempts_spent: bool) -> tuple[tuple[str, str], ...]:
    headers = []
    if error.code in _RETRY_AFTER_S:
        wait = error.retry_after_s
        seconds = _RETRY_AFTER_S[error.code] if wait is None else max(1, math.ceil(wait))
        if seconds is not None:
            headers.append(("retry-after", str(seconds)))
    if attempts_spent or not error.retryable:
        headers.append(("x-should-retry", "false"))
    return tuple(headers)


def _default_type(status: int) -> str:
    return "invalid_request_error" if status < 500 else "server_error"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None

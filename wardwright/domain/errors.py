"""What can go wrong, as one tree of exceptions. The HTTP answer to each is decided in `edge.errors` alone.

A decision (a skipped target, a policy block) is a value and never raised. Each error's `message` is written for the person
who has to act on it, and never contains prompt, answer or credential text.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import msgspec

FailureClass = Literal[
    "connect",
    "timeout",
    "rate_limited",
    "overloaded",
    "server_error",
    "auth",
    "context_exceeded",
    "content_filter",
    "invalid_request",
    "bad_response",
    "stream_broken",
    "not_resumed",
]

Clock = Literal["connect", "first_token", "idle", "total"]


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why one attempt failed, as a receipt records it.

    `status` is the upstream HTTP status, `retry_after_s` what the provider asked to wait, `clock` which timeout ran out, `code` the
    provider's own word for it.
    """

    failure_class: FailureClass
    message: str
    status: int | None = None
    retry_after_s: float | None = None
    clock: Clock | None = None
    code: str | None = None

    @property
    def is_inability(self) -> bool:
        """Whether nobody was asked: the request wants what this kind of provider has no way to say, and another kind may have."""
        return self.status is None and self.code == "unsupported_parameter"


class WardwrightError(Exception):
    """Root of every fault the gateway knows by name. `code` is the wire code of the contract; `retryable` advises clients.

    `retry_after_s` is how long they had better wait, where that is known.
    """

    code: str = "internal_error"
    retryable: bool = False
    retry_after_s: float | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RequestError(WardwrightError):
    """The caller's fault. `param` names the request field to mend."""

    code = "invalid_request"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        if code is not None:
            self.code = code


class UnknownModel(RequestError):
    """No synthetic model of that name is active."""

    code = "model_not_found"


class ContextLengthExceeded(RequestError):
    """Nothing behind the model can hold the prompt and the requested answer."""

    code = "context_length_exceeded"


class RequestTooLarge(RequestError):
    """The body is over the configured limit."""

    code = "request_too_large"


class UnsupportedMediaType(RequestError):
    """The body is not JSON by its own content type."""

    code = "unsupported_media_type"


class Unauthorized(WardwrightError):
    """The model wants a key, and none that opens it was shown."""

    code = "invalid_api_key"


class Forbidden(WardwrightError):
    """The caller may not do this. `code` tells which protection refused."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class RouteBlocked(WardwrightError):
    """Policy leaves no way for the request, or forbids it. `code` tells which."""

    def __init__(self, message: str, code: str = "route_blocked") -> None:
        super().__init__(message)
        self.code = code


class AnswerRefused(WardwrightError):
    """An answer was produced and may not be released. `code` tells which policy of the stream refused it."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class NotFound(WardwrightError):
    """What was asked for does not exist. `code` tells what kind of thing."""

    def __init__(self, message: str, code: str = "not_found") -> None:
        super().__init__(message)
        self.code = code


class Conflict(WardwrightError):
    """What was asked cannot be done as things stand: somebody else decided meanwhile, or it would contradict what is there."""

    code = "version_conflict"


class ProviderError(WardwrightError):
    """An upstream attempt failed; `failure` says how, and its class decides the wire code.

    Retrying is the gateway's business and has been done: clients are told to retry only what waiting may mend.

    `upstream_error` is the provider's own error object (decoded JSON), present when the provider blamed the request.
    """

    code = "provider_error"

    _CODES: ClassVar[Mapping[FailureClass, str]] = {
        "rate_limited": "rate_limit_exceeded",
        "overloaded": "overloaded",
        "context_exceeded": "context_length_exceeded",
        "content_filter": "content_filter",
        "invalid_request": "invalid_request",
    }
    # a model or an endpoint that is not there is the operator's configuration, not the caller's request
    _OPERATORS_FAULT: ClassVar[frozenset[int]] = frozenset({404, 405, 410})

    def __init__(self, failure: Failure, *, upstream_error: dict[str, object] | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        is_operators = failure.failure_class == "invalid_request" and failure.status in self._OPERATORS_FAULT
        self.code = "provider_error" if is_operators else self._CODES.get(failure.failure_class, "provider_error")
        if failure.is_inability:
            self.code = "unsupported_parameter"
        self.retryable = failure.failure_class in ("rate_limited", "overloaded")
        self.retry_after_s = failure.retry_after_s
        self.upstream_error = upstream_error


class NoTargetAvailable(WardwrightError):
    """No target that could serve the request can be asked now."""

    code = "no_target_available"
    retryable = True

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RateLimitExceeded(WardwrightError):
    """A limit on requests is in force, everywhere the request could go."""

    code = "rate_limit_exceeded"
    retryable = True

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(WardwrightError):
    """As many requests are waiting as can be answered in time, everywhere the request could go."""

    code = "overloaded"
    retryable = True

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeadlineExceeded(WardwrightError):
    """The request's own deadline passed."""

    code = "deadline_exceeded"
    retryable = True


class StorageUnavailable(WardwrightError):
    """A receipt could not be written or read; in strict durability nothing may be answered without it."""

    code = "storage_unavailable"
    retryable = True


class ActorRestarting(WardwrightError):
    """A part of the daemon is restarting and was not back within the request's deadline."""

    code = "actor_restarting"
    retryable = True


class InternalError(WardwrightError):
    """Our bug. The receipt id finds the crash report."""

    code = "internal_error"
    retryable = True

"""What a provider's own words of error become: a `ProviderError` with class, status and waiting time.

The message names status and code only. A provider's prose may quote the prompt or a key, so it goes no further than
`upstream_error`, which is for the caller whose request was at fault.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import anyio
import msgspec

from wardwright.domain.errors import Failure, FailureClass, ProviderError
from wardwright.providers.transport import Response
from wardwright.wire.errors import UpstreamErrorBody, classify, parse_error
from wardwright.wire.retry_after import parse_retry_after

ERROR_BODY_BYTES = 64 * 1024
ERROR_BODY_GRACE_S = 2.0

_CALLERS_FAULT: frozenset[FailureClass] = frozenset({"invalid_request", "context_exceeded", "content_filter"})
_REDACTED = "(our key)"
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


async def read_refusal(response: Response, now: float) -> ProviderError:
    """What an answer with an error status means. Neither a slow nor an endless nor a cut error body hides the status."""
    error = parse_error(await _error_body(response))
    said = f"the provider answered {response.status}"
    if response.status < 400:
        said += ", a redirect: set base_url to where it leads"
    return _provider_error(said, error, response.status, response.headers, now)


def error_object_fault(error: UpstreamErrorBody, status: int) -> ProviderError:
    """What an error object means that came instead of an answer, or in the middle of one, under a status that promised one."""
    return _provider_error("the provider sent an error instead of an answer", error, status, {}, 0.0)


@contextmanager
def keeping_secret(secret: str | None) -> Iterator[None]:
    """Take our own credential out of every provider error that leaves: some servers quote the key they refuse, or all headers."""
    try:
        yield
    except ProviderError as error:
        if not secret:
            raise
        failure, code = error.failure, error.failure.code
        kept = msgspec.structs.replace(
            failure, message=_without(secret, failure.message), code=None if code and secret in code else code
        )
        upstream_error = _without(secret, error.upstream_error)
        if (kept, upstream_error) == (failure, error.upstream_error):
            raise
        raise ProviderError(kept, upstream_error=upstream_error) from None


def _without(secret: str, value: Any) -> Any:
    """The same decoded JSON, without the secret in any text of it."""
    if isinstance(value, str):
        return value.replace(secret, _REDACTED)
    if isinstance(value, dict):
        return {_without(secret, name): _without(secret, entry) for name, entry in value.items()}
    return [_without(secret, entry) for entry in value] if isinstance(value, list) else value


def _provider_error(
    said: str, error: UpstreamErrorBody, status: int, headers: Mapping[str, str], now: float
) -> ProviderError:
    failure_class = classify(status, error)
    name = next((name for name in (error.code, error.type) if name and _CODE.fullmatch(name)), None)
    failure = Failure(
        failure_class=failure_class,
        message=f"{said} ({name})" if name else said,
        status=status,
        retry_after_s=parse_retry_after(headers, now),
        code=name,
    )
    return ProviderError(failure, upstream_error=error.raw if failure_class in _CALLERS_FAULT else None)


async def _error_body(response: Response) -> bytes:
    body = b""
    with anyio.move_on_after(ERROR_BODY_GRACE_S):
        try:
            async for piece in response:
                body += piece
                if len(body) >= ERROR_BODY_BYTES:
                    break
        except ProviderError:
            pass  # the body broke: the status is known, and what was read of the body is all there is
    return body[:ERROR_BODY_BYTES]

"""Who asked: identity from the `x-wardwright-*` headers and, where a header is silent, from the body's metadata.

Values are trimmed, and a blank one is absent. A value that could not be stored or shown safely (over 256 bytes, or with control
characters) is refused by name rather than cut: a cut tenant id would be another tenant's.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import msgspec

from wardwright.domain.caller import Attributed, Caller
from wardwright.domain.chat import ChatRequest
from wardwright.domain.errors import RequestError

_VALUE_LIMIT = 256
_UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_STRING = msgspec.json.Decoder(str | None)


class _Fact(NamedTuple):
    """Where one caller fact may be stated: its field in `Caller`, its header, its metadata keys in order."""

    field: str
    header: str
    metadata_keys: tuple[str, ...]


_FACTS = (
    _Fact("tenant_id", "x-wardwright-tenant-id", ("tenant_id",)),
    _Fact("application_id", "x-wardwright-application-id", ("application_id",)),
    _Fact("consuming_agent_id", "x-wardwright-agent-id", ("consuming_agent_id", "agent_id")),
    _Fact("consuming_user_id", "x-wardwright-user-id", ("consuming_user_id", "user_id")),
    _Fact("session_id", "x-wardwright-session-id", ("session_id",)),
    _Fact("run_id", "x-wardwright-run-id", ("run_id",)),
    _Fact("client_request_id", "x-client-request-id", ("client_request_id",)),
)


_HEADERS = frozenset(fact.header for fact in _FACTS)

BOUND_FIELDS = ("tenant_id", "application_id", "consuming_agent_id", "consuming_user_id")
"""What an API key may vouch for: who somebody is, never which session or run it is about."""


def vouched_for(caller: Caller, key_id: str, bound: Mapping[str, str]) -> Caller:
    """Put what a key vouches for in the place of what the caller says of itself. Purity: pure.

    A caller without a session is told apart by its key, which is more than its address says.
    """
    facts = {field: Attributed(value, "trusted_auth") for field, value in bound.items()}
    if caller.session_id is None:
        facts["anonymous_id"] = Attributed(key_id, "derived_anonymous")
    return msgspec.structs.replace(caller, **facts)


def parse_caller(headers: Mapping[str, str], request: ChatRequest, peer: str | None) -> Caller:
    """Read who asked.

    Args:
        headers: the request's headers by lower-case name.
        peer: the address of the socket peer without its port, so that one machine stays one caller.

    Raises: RequestError, whose `param` names the header or field to mend.
    """
    facts: dict[str, Attributed] = {}
    for fact in _FACTS if request.metadata or not _HEADERS.isdisjoint(headers) else ():
        stated = _from_header(headers, fact) if fact.header in headers else None
        if stated is None and request.metadata:
            stated = _from_metadata(request.metadata, fact)
        if stated is not None:
            facts[fact.field] = stated
    if "consuming_user_id" not in facts and (user := _openai_user(request)):
        facts["consuming_user_id"] = user
    if "session_id" not in facts and peer:
        facts["anonymous_id"] = Attributed(_anonymous_id(peer), "derived_anonymous")
    tags = _tags(request.metadata["tags"]) if "tags" in request.metadata else ()
    return Caller(**facts, tags=tags, erased=None)


def _from_header(headers: Mapping[str, str], fact: _Fact) -> Attributed | None:
    value = check_caller_value(headers[fact.header], fact.header)
    return Attributed(value, "header") if value else None


def _from_metadata(metadata: Mapping[str, object], fact: _Fact) -> Attributed | None:
    for key in fact.metadata_keys:
        if value := check_caller_value(_as_text(metadata.get(key)), f"metadata.{key}"):
            return Attributed(value, "body_metadata")
    return None


def _openai_user(request: ChatRequest) -> Attributed | None:
    """Read OpenAI's own fields for the end user: `user`, or its successor."""
    raw = request.fields.get("safety_identifier")
    if not request.user and raw is None:
        return None
    value = check_caller_value(request.user or "", "user")
    if not value and raw is not None:
        try:
            stated = _STRING.decode(raw)
        except (msgspec.DecodeError, RecursionError):
            raise RequestError("safety_identifier: expected a string or null", param="safety_identifier") from None
        value = check_caller_value(stated or "", "safety_identifier")
    return Attributed(value, "body_metadata") if value else None


def _tags(stated: object) -> tuple[str, ...]:
    """Read tags from a list or a comma-separated string."""
    if isinstance(stated, str):
        entries: list[object] = [*stated.split(",")]
    else:
        entries = stated if isinstance(stated, list) else []
    tags = (check_caller_value(_as_text(entry), "metadata.tags") for entry in entries)
    return tuple(sorted(filter(None, tags)))


def _as_text(value: object) -> str:
    """Return a metadata scalar as text; anything else states nothing."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ""


def check_caller_value(value: str, name: str) -> str:
    """Trim a fact about a caller.

    Raises: RequestError when it could not be stored or shown safely.
    """
    value = value.strip()
    if len(value) <= _VALUE_LIMIT and value.isascii() and value.isprintable():
        return value
    if _UNWANTED.search(value):
        raise RequestError(f"{name}: remove the control characters", param=name)
    if (size := len(value.encode())) > _VALUE_LIMIT:
        raise RequestError(f"{name}: expected at most {_VALUE_LIMIT} bytes, got {size}", param=name)
    return value


@lru_cache(maxsize=4096)
def _anonymous_id(peer: str) -> str:
    """Derive a stable name from an address, so that receipts tell callers apart without keeping where they live."""
    return "anon_" + hashlib.sha256(b"wardwright.caller\0" + peer.encode(errors="replace")).hexdigest()[:16]

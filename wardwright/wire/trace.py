"""The W3C Trace Context header `traceparent`: version, trace id, parent id, flags.

A header that does not follow the recommendation is treated as absent, as the recommendation asks of everybody who passes one on.
"""

import re

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def parse_traceparent(header: str | None) -> str | None:
    """The header if it is a valid `traceparent` of a version we can pass on, None otherwise. Purity: pure."""
    value = (header or "").strip()
    return value if _TRACEPARENT.fullmatch(value) else None


def trace_id_of(traceparent: str) -> str:
    """The trace id within a valid `traceparent`: 32 hex digits. Purity: pure."""
    return traceparent.split("-")[1]

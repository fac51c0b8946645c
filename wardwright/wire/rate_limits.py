"""The rate limits that a provider states beside its answers, in OpenAI's headers and in Anthropic's.

OpenAI and its relatives say `x-ratelimit-remaining-requests: 59` and give the reset as a duration (`6ms`, `1m30s`); Anthropic says
`anthropic-ratelimit-requests-remaining: 59` and gives the reset as a time (RFC 3339). Both mean by the reset the moment when the
whole limit is there again. A bare number is seconds from now, or a Unix time where it is too large for that.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from wardwright.domain.limits import LimitedUnit, RateWindow

_UNITS: tuple[tuple[LimitedUnit, str, str], ...] = (
    ("requests", "x-ratelimit-{}-requests", "anthropic-ratelimit-requests-{}"),
    ("tokens", "x-ratelimit-{}-tokens", "anthropic-ratelimit-tokens-{}"),
    ("input_tokens", "x-ratelimit-{}-input-tokens", "anthropic-ratelimit-input-tokens-{}"),
    ("output_tokens", "x-ratelimit-{}-output-tokens", "anthropic-ratelimit-output-tokens-{}"),
)
# (unit, header of what is left, of the limit, of the reset), each as one provider or the other spells it
_NAMES = tuple(
    (unit, form.format("remaining"), form.format("limit"), form.format("reset"))
    for unit, *forms in _UNITS
    for form in forms
)
_REMAINING = frozenset(remaining for _, remaining, _, _ in _NAMES)

_PIECE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h|d)")
_DURATION = re.compile(rf"(?:{_PIECE.pattern})+")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNIT_ENDS = frozenset("smhd")
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_FIRST_UNIX_TIME = 1e9
_FIRST_UNIX_MILLISECONDS = 1e12
_LONGEST_STATED = 64
_LONGEST_COUNT = 15


def parse_rate_limits(headers: Mapping[str, str], now: float) -> tuple[RateWindow, ...]:
    """Return every limit whose remainder is stated; `now` is Unix time. Header names are lower-case. Never raises."""
    if _REMAINING.isdisjoint(headers):
        return ()
    windows: list[RateWindow] = []
    for unit, remaining, limit, reset in _NAMES:
        if remaining in headers:
            left, whole, stated = headers[remaining], headers.get(limit, ""), headers.get(reset, "")
            windows.append(RateWindow(unit, _count(whole), _count(left), _seconds(stated, now)))
    return tuple(windows)


def _count(text: str) -> int | None:
    text = text.strip()
    is_number = text.isascii() and text.isdecimal() and len(text) <= _LONGEST_COUNT
    return int(text) if is_number else None


def _seconds(text: str, now: float) -> float | None:
    text = text.strip()
    if not text or len(text) > _LONGEST_STATED:
        return None
    if text[-1] in _UNIT_ENDS and _DURATION.fullmatch(text):
        return sum([float(amount) * _SECONDS[unit] for amount, unit in _PIECE.findall(text)])
    if _NUMBER.fullmatch(text):
        return _from_now(float(text), now)
    try:
        moment = datetime.fromisoformat(text)
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _from_now(number: float, now: float) -> float:
    if number >= _FIRST_UNIX_MILLISECONDS:
        number /= 1000
    return max(0.0, number - now) if number >= _FIRST_UNIX_TIME else number

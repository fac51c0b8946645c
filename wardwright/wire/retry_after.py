"""How long a provider asks to be left alone: `retry-after-ms`, or `retry-after` in seconds or as a date."""

import math
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds to wait from `now` (Unix time), 0 for a time already past, None when nothing readable was asked.

    Header names are lower-case. The finer header wins; one that cannot be read gives way to the other.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    stated = headers.get("retry-after", "")
    seconds = _number(stated)
    if seconds is None:
        date = _unix_time(stated)
        seconds = None if date is None else date - now
    return None if seconds is None else max(0.0, seconds)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _unix_time(text: str) -> float | None:
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None

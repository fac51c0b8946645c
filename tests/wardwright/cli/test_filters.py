"""The options that choose receipts: how a time may be said, what a filter may be called, and what is told of a mistake."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import typer

from wardwright.cli.filters import filters_of, moment
from wardwright.receipts.query import FILTERS
from wardwright.receipts.stats import GROUPINGS


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90s", 1_800_000_000 - 90),
        ("2w", 1_800_000_000 - 14 * 86_400),
        ("2026-11-01", 1_793_491_200 - 3600),
        ("2026-11-01T12:00:00", 1_793_534_400 - 3600),
        ("2026-11-01 12:00:00", 1_793_534_400 - 3600),
        ("2026-11-01T12:00:00Z", 1_793_534_400),
        ("2026-11-01T12:00:00.25Z", 1_793_534_401),
        ("2026-11-01T14:00:00+02:00", 1_793_534_400),
    ],
)
def test_a_moment_is_an_age_or_a_date(monkeypatch: pytest.MonkeyPatch, text: str, at: int) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_800_000_000.7)
    with in_zone(monkeypatch, "XYZ-1"):
        assert moment(text) == at


@contextmanager
def in_zone(monkeypatch: pytest.MonkeyPatch, zone: str) -> Iterator[None]:
    """A machine in another time zone, for as long as this lasts."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", zone)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize("text", ["", "1y", "6 h", "\u0666h", "yesterday", "2026-13-01"])
def test_what_is_neither_is_told_what_would_be(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no age such as 6h or 1d, and no day or moment such as"):
        moment(text)


def test_the_end_of_a_span_is_not_in_it() -> None:
    assert filters_of(since=1000, until=2000) == {"created_at_min": "1000", "created_at_max": "1999"}


def test_receipts_that_have_not_ended_can_be_asked_for() -> None:
    assert filters_of(where=["status=open"]) == {"status": "open"}


def test_whatever_stats_groups_by_can_be_asked_for_by_the_same_word() -> None:
    for word in GROUPINGS:
        (name,) = filters_of(where=[f"{word}={'completed' if word == 'status' else 'x=y'}"])
        assert name in FILTERS


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_of_the_api_can_be_asked_for(name: str) -> None:
    known = {
        "status": "interrupted",
        "stream_policy_action": "drop",
        "simulation": "false",
        "tool_phase": "planning",
        "tool_source": "tool_choice",
    }
    value = known.get(name, "1")
    assert filters_of(where=[f"{name}={value}"]) == {name: value}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("status", "'status' is not NAME=VALUE"),
        ("=completed", "unknown ''"),
        ("colour=red", "expected one of tenant, application"),
        ("sesion=s1", 'did you mean "session"?'),
        ("status=fine", "expected one of completed, completed_after_guard"),
        ("stream_policy_action=blocked", 'did you mean "block"?'),
        ("simulation=yes", "expected one of true, false"),
    ],
)
def test_a_mistake_is_told_with_what_was_meant(text: str, told: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"unknown|is not") as raised:
        filters_of(where=[text])
    assert told in raised.value.message


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"where": ["user="]}, "consuming_user_id: expected a value, got nothing"),
        ({"where": ["user= "]}, "consuming_user_id: expected a value, got nothing"),
        ({"model": ""}, "model: expected a value, got nothing"),
        ({"session_id": ""}, "session_id: expected a value, got nothing"),
        ({"where": ["user=a", "user=b"]}, "consuming_user_id: expected one value, got 'a' and 'b'"),
        ({"where": ["user=a", "consuming_user_id=b"]}, "consuming_user_id: expected one value, got 'a' and 'b'"),
        ({"where": ["model=a"], "model": "b"}, "model: expected one value, got 'a' and 'b'"),
        (
            {"where": ["created_at_min=2026-11-01"]},
            "created_at_min: expected whole Unix seconds, got '2026-11-01'; --since and --until take days and moments",
        ),
        ({"where": ["created_at_min="]}, "created_at_min: expected a value, got nothing"),
        ({"where": ["created_at_min=5"], "since": 6}, "created_at_min: expected one value, got '5' and '6'"),
    ],
)
def test_nothing_is_passed_over_that_was_asked_for(options: dict[str, Any], told: str) -> None:
    with pytest.raises(typer.BadParameter) as raised:
        filters_of(**options)
    assert raised.value.message == told
    assert filters_of(where=["user=a", "user=a"], session_id=None) == {"consuming_user_id": "a"}

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.domain.limits import RateWindow
from wardwright.wire.rate_limits import parse_rate_limits

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z

OPENAI = {
    "x-ratelimit-limit-requests": "5000",
    "x-ratelimit-remaining-requests": "4999",
    "x-ratelimit-reset-requests": "12ms",
    "x-ratelimit-limit-tokens": "160000",
    "x-ratelimit-remaining-tokens": "0",
    "x-ratelimit-reset-tokens": "1m30s",
}
ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:01Z",
    "anthropic-ratelimit-input-tokens-limit": "40000",
    "anthropic-ratelimit-input-tokens-remaining": "0",
    "anthropic-ratelimit-input-tokens-reset": "2027-01-15T10:00:30+02:00",
}


def test_reads_openais_headers() -> None:
    assert parse_rate_limits(OPENAI, NOW) == (
        RateWindow("requests", 5000, 4999, 0.012),
        RateWindow("tokens", 160000, 0, 90.0),
    )


def test_reads_anthropics_headers() -> None:
    assert parse_rate_limits(ANTHROPIC, NOW) == (
        RateWindow("requests", 50, 49, 1.0),
        RateWindow("input_tokens", 40000, 0, 30.0),
    )


def test_a_limit_without_a_remainder_says_nothing() -> None:
    assert parse_rate_limits({"x-ratelimit-limit-requests": "5000"}, NOW) == ()
    assert parse_rate_limits({}, NOW) == ()


@pytest.mark.parametrize(
    ("reset", "expected"),
    [
        ("6ms", 0.006),
        ("20s", 20.0),
        ("1m30s", 90.0),
        ("6m0s", 360.0),
        ("2m59.56s", 179.56),
        ("1h0m0.5s", 3600.5),
        ("2d", 172800.0),
        ("250us", 0.00025),
        ("250\u00b5s", 0.00025),
        ("0s", 0.0),
        ("7", 7.0),
        (" 7.5 ", 7.5),
        ("1800000012", 12.0),
        ("1800000012000", 12.0),
        ("1799999990", 0.0),
        ("2027-01-15T08:00:12.500Z", 12.5),
        ("2027-01-15T08:00:12", 12.0),
        ("2027-01-15T07:59:00Z", 0.0),
        ("", None),
        ("soon", None),
        ("-4", None),
        ("1m30", None),
        ("nan", None),
        ("1e9", None),
        ("9" * 80 + "s", None),
    ],
)
def test_reads_durations_seconds_and_times(reset: str, expected: float | None) -> None:
    headers = {"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": reset}
    [window] = parse_rate_limits(headers, NOW)
    assert window.resets_in_s == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(("stated", "count"), [("59", 59), (" 0 ", 0), ("-1", None), ("many", None), ("1.5", None)])
def test_a_count_that_is_no_number_is_unknown(stated: str, count: int | None) -> None:
    headers = {"x-ratelimit-remaining-tokens": stated, "x-ratelimit-limit-tokens": stated}
    assert parse_rate_limits(headers, NOW) == (RateWindow("tokens", count, count),)


@given(
    st.dictionaries(st.sampled_from([*OPENAI, *ANTHROPIC]), st.text("0123456789.:-+TZmsh \u00b5\u0662", max_size=20))
)
def test_never_fails_and_never_resets_in_the_past(headers: dict[str, str]) -> None:
    for window in parse_rate_limits(headers, NOW):
        assert window.resets_in_s is None or window.resets_in_s >= 0

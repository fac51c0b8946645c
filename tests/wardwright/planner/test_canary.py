"""Which side of a canary a session is on: always the same one, evenly, and growing without a change of mind."""

from hypothesis import given
from hypothesis import strategies as st

from wardwright.planner.canary import BUCKETS, bucket_of, takes

SEEDS = st.integers(0, 2**63 - 1)
PERCENTS = st.floats(0, 100)


@given(st.text(), SEEDS)
def test_a_session_falls_into_one_bucket_and_stays_there(session: str, seed: int) -> None:
    bucket = bucket_of(session, seed)
    assert 0 <= bucket < BUCKETS
    assert bucket_of(session, seed) == bucket


@given(st.integers(0, BUCKETS - 1), PERCENTS, PERCENTS)
def test_a_canary_that_grows_keeps_what_it_has(bucket: int, one: float, other: float) -> None:
    smaller, larger = sorted((one, other))
    assert not takes(bucket, smaller) or takes(bucket, larger)


def test_the_ends_of_the_scale_take_nothing_and_everything() -> None:
    assert not any(takes(bucket, 0) for bucket in range(BUCKETS))
    assert all(takes(bucket, 100) for bucket in range(BUCKETS))


def test_a_share_is_the_share_of_the_buckets() -> None:
    for percent, expected in ((0.01, 1), (0.5, 50), (10, 1000), (33.3, 3330)):
        assert sum(takes(bucket, percent) for bucket in range(BUCKETS)) == expected


def test_sessions_are_spread_evenly_and_otherwise_under_another_seed() -> None:
    sessions = [f"session-{number}" for number in range(5000)]
    chosen = {seed: {name for name in sessions if takes(bucket_of(name, seed), 20)} for seed in (1, 2)}
    for names in chosen.values():
        assert 850 < len(names) < 1150  # five standard deviations around 1000
    assert 120 < len(chosen[1] & chosen[2]) < 290, "two rollouts do not try their luck on the same sessions"


def test_a_session_id_that_is_no_valid_text_has_a_bucket_too() -> None:
    assert bucket_of("\ud800", 1) == bucket_of("\ud800", 1)

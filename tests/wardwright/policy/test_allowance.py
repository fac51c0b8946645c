"""Allowances: exact for requests that run at the same time, whenever they end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.domain.control import KeyLimits
from wardwright.domain.money import as_nano_usd
from wardwright.policy.allowance import DAY_S, MINUTE_S, Allowance, Refused, Use

NOON = 20_000 * DAY_S + DAY_S / 2


def reserved(allowance: Allowance, now: float, tokens: int = 0, usd: float = 0.0) -> Use:
    use = allowance.reserve(now, tokens, as_nano_usd(usd))
    assert isinstance(use, Use)
    return use


def test_without_limits_everything_is_allowed() -> None:
    allowance = Allowance(KeyLimits())
    for _ in range(100):
        reserved(allowance, NOON, 10**9, 10**6)


def test_a_minute_holds_so_many_requests_and_says_when_the_next_may_come() -> None:
    allowance = Allowance(KeyLimits(requests_per_minute=2))
    reserved(allowance, NOON)
    reserved(allowance, NOON + 10)
    assert allowance.reserve(NOON + 30, 0, 0) == Refused("requests_per_minute", 30)
    reserved(allowance, NOON + 60)
    assert allowance.reserve(NOON + 61, 0, 0) == Refused("requests_per_minute", 9)


def test_what_was_refused_counts_for_nothing() -> None:
    allowance = Allowance(KeyLimits(requests_per_minute=1, tokens_per_minute=10))
    reserved(allowance, NOON, 5)
    for second in range(1, 60):
        assert isinstance(allowance.reserve(NOON + second, 1, 0), Refused)
    assert allowance.in_minute(NOON + 59) == (1, 5)
    reserved(allowance, NOON + 60, 10)


def test_tokens_are_set_aside_until_the_request_says_what_it_used() -> None:
    allowance = Allowance(KeyLimits(tokens_per_minute=100))
    first = reserved(allowance, NOON, 60)
    assert allowance.reserve(NOON + 1, 50, 0) == Refused("tokens_per_minute", 59)
    allowance.settle(first, 20, 0)
    reserved(allowance, NOON + 1, 80)


def test_an_answer_longer_than_reserved_keeps_others_waiting() -> None:
    allowance = Allowance(KeyLimits(tokens_per_minute=100))
    allowance.settle(reserved(allowance, NOON, 10), 150, 0)
    assert allowance.reserve(NOON + 1, 1, 0) == Refused("tokens_per_minute", 59)


def test_what_can_never_fit_is_not_told_to_wait() -> None:
    limits = KeyLimits(tokens_per_minute=100, usd_per_day=1.0)
    assert Allowance(limits).reserve(NOON, 101, 0) == Refused("tokens_per_minute", None)
    assert Allowance(limits).reserve(NOON, 1, as_nano_usd(1.01)) == Refused("usd_per_day", None)
    assert Allowance(KeyLimits(requests_per_minute=0)).reserve(NOON, 0, 0) == Refused("requests_per_minute", None)


def test_a_day_of_utc_costs_so_much_and_the_next_begins_at_nothing() -> None:
    allowance = Allowance(KeyLimits(usd_per_day=1.0))
    allowance.settle(reserved(allowance, NOON, usd=0.9), 0, as_nano_usd(0.7))
    assert allowance.reserve(NOON + 1, 0, as_nano_usd(0.4)) == Refused("usd_per_day", DAY_S / 2 - 1)
    reserved(allowance, NOON + 1, usd=0.3)
    reserved(allowance, NOON + DAY_S / 2, usd=1.0)


def test_a_request_belongs_to_the_day_on_which_it_began() -> None:
    allowance = Allowance(KeyLimits(usd_per_day=1.0))
    late = reserved(allowance, NOON + DAY_S / 2 - 1, usd=0.9)
    reserved(allowance, NOON + DAY_S / 2, usd=1.0)
    allowance.settle(late, 0, as_nano_usd(50.0))
    assert allowance.spent_on(NOON + DAY_S / 2) == as_nano_usd(1.0)


def test_settling_twice_is_settling_once() -> None:
    allowance = Allowance(KeyLimits(tokens_per_minute=100))
    use = reserved(allowance, NOON, 50)
    allowance.settle(use, 10, 5)
    allowance.settle(use, 90, 90)
    assert allowance.in_minute(NOON) == (1, 10)
    assert allowance.spent_on(NOON) == 5
    assert allowance.open_reservations == 0


def test_what_receipts_tell_is_part_of_the_account() -> None:
    allowance = Allowance(KeyLimits(requests_per_minute=2, usd_per_day=1.0))
    allowance.restore(NOON, [(NOON - 30, 10)], as_nano_usd(0.75))
    assert allowance.in_minute(NOON) == (1, 10)
    assert allowance.spent_on(NOON) == as_nano_usd(0.75)


@given(
    st.lists(
        st.tuples(st.floats(0, 40), st.integers(0, 60), st.integers(0, 60), st.integers(0, 3)), min_size=1, max_size=40
    )
)
def test_no_minute_holds_more_than_is_allowed_if_nobody_uses_more_than_he_reserved(
    requests: list[tuple[float, int, int, int]],
) -> None:
    allowance = Allowance(KeyLimits(requests_per_minute=5, tokens_per_minute=100))
    now = NOON
    open_uses: list[Use] = []
    taken: list[Use] = []
    for wait, tokens, used, settles in requests:
        now += wait
        for use in open_uses[:settles]:
            allowance.settle(use, min(used, use.tokens), 0)
        del open_uses[:settles]
        answer = allowance.reserve(now, tokens, 0)
        if isinstance(answer, Use):
            open_uses.append(answer)
            taken.append(answer)
        recent = [use for use in taken if use.at > now - MINUTE_S]
        assert len(recent) <= 5
        assert sum(use.tokens for use in recent) <= 100
        assert allowance.in_minute(now) == (len(recent), sum(use.tokens for use in recent))
        assert allowance.open_reservations == len(open_uses)


@pytest.mark.parametrize(("usd", "nano"), [(0.0, 0), (1e-9, 1), (0.000_000_075, 75), (12.345678901, 12_345_678_901)])
def test_amounts_come_back_from_dollars_as_they_were(usd: float, nano: int) -> None:
    assert as_nano_usd(usd) == nano


@given(st.integers(0, 10**15))
def test_every_amount_survives_being_shown_in_dollars(nano: int) -> None:
    assert as_nano_usd(nano / 1e9) == nano

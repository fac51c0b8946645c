"""The books: what keys and targets have used, exactly, and the same after a new start."""

import msgspec
import pytest

from tests.wardwright.receipts.receipt_samples import opened
from wardwright.domain.chat import Usage
from wardwright.domain.control import KeyLimits
from wardwright.domain.control_state import ApiKey
from wardwright.domain.errors import RateLimitExceeded
from wardwright.domain.money import as_nano_usd
from wardwright.domain.route import Price, RequestFacts, RoutePlan, Target
from wardwright.policy.allowance import DAY_S, UNBOUNDED_ANSWER
from wardwright.receipts.events import AttemptFinished, Closed, Entry, Event
from wardwright.runtime.books import books_of
from wardwright.runtime.ledger import Ledger

NOON = 20_000 * DAY_S + DAY_S / 2


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def key(**limits: float) -> ApiKey:
    return ApiKey("key_1", "m", "robots", "wwk_x", "hash", {}, KeyLimits(**limits), 0.0)  # type: ignore[arg-type]


def plan(*prices: Price | None) -> RoutePlan:
    targets = tuple(Target(f"p/{number}", "p", "m", 8192, price=price) for number, price in enumerate(prices))
    return RoutePlan("cascade", "c", "ordered_fallback", "", targets, (), ("c",))


def receipt(at: float, *attempts: tuple[str, Usage, float | None], key_id: str | None = "key_1") -> tuple[Entry, ...]:
    events: list[Event] = [msgspec.structs.replace(opened(model_id="m"), key_id=key_id)]
    events += [
        AttemptFinished(number, target, "completed", at, 1.0, usage=usage, cost_usd=cost)
        for number, (target, usage, cost) in enumerate(attempts, 1)
    ]
    events.append(Closed("completed", len(attempts)))
    return tuple(Entry(f"rcpt_{at}", seq, at, "", event) for seq, event in enumerate(events, 1))


def test_the_dearest_target_of_a_plan_is_reserved_for() -> None:
    ledger = Ledger(now=Clock())
    cheap, dear = Price(1.0, 1.0), Price(10.0, 20.0)
    ledger.reserve(key(usd_per_day=1.0), plan(cheap, None, dear), RequestFacts(100, 50))
    (account,) = ledger.accounts().values()
    assert account.spent_on(NOON) == (100 * 10 + 50 * 20) * 1000
    assert account.in_minute(NOON) == (1, 150)


def test_an_answer_without_a_limit_is_reserved_for_all_the_same() -> None:
    ledger = Ledger(now=Clock())
    ledger.reserve(key(), plan(None), RequestFacts(100))
    assert ledger.accounts()["key_1"].in_minute(NOON) == (1, 100 + UNBOUNDED_ANSWER)


def test_what_a_request_came_to_takes_the_place_of_what_it_reserved() -> None:
    ledger = Ledger(now=Clock())
    reservation = ledger.reserve(key(), plan(Price(1.0, 1.0)), RequestFacts(100, 50))
    ledger.settle(reservation, Usage(90, 7), 97_000)
    account = ledger.accounts()["key_1"]
    assert (account.in_minute(NOON), account.spent_on(NOON)) == ((1, 97), 97_000)
    assert account.open_reservations == 0


@pytest.mark.parametrize(
    ("limits", "message", "wait"),
    [
        (
            {"requests_per_minute": 1},
            "the API key 'robots' may use 1 requests a minute, and they are used up for now",
            60,
        ),
        ({"tokens_per_minute": 200}, "may use 200 tokens a minute, and they are used up for now", 60),
        ({"tokens_per_minute": 100}, "may use 100 tokens a minute, and this request alone may need more", None),
        ({"usd_per_day": 0.0002}, "may use 0.0002 dollars a day, and they are used up for now", DAY_S / 2),
    ],
)
def test_a_refusal_says_which_limit_and_when_to_come_again(
    limits: dict[str, float], message: str, wait: float | None
) -> None:
    ledger, one = Ledger(now=Clock()), key(**limits)
    if wait is not None:
        ledger.reserve(one, plan(Price(1.0, 1.0)), RequestFacts(100, 50))
    with pytest.raises(RateLimitExceeded, match=message) as refused:
        ledger.reserve(one, plan(Price(1.0, 1.0)), RequestFacts(100, 50))
    assert refused.value.retry_after_s == wait


def test_budgets_are_what_their_targets_have_cost_today() -> None:
    clock = Clock()
    ledger = Ledger(now=clock)
    ledger.note_spending("m", "p/a", as_nano_usd(0.25))
    ledger.note_spending("m", "p/b", as_nano_usd(0.5))
    ledger.note_spending("other", "p/a", as_nano_usd(9))
    budgets = {"one": frozenset({"p/a"}), "both": frozenset({"p/a", "p/b"}), "none": frozenset({"p/c"})}
    assert ledger.spent_usd("m", budgets) == {"one": 0.25, "both": 0.75, "none": 0.0}
    clock.now += DAY_S / 2
    assert ledger.spent_usd("m", budgets) == {"one": 0.0, "both": 0.0, "none": 0.0}


def test_a_new_process_makes_its_books_from_receipts() -> None:
    clock, one = Clock(), key(requests_per_minute=2, usd_per_day=1.0)
    ledger = Ledger(now=clock)
    newest = [
        receipt(NOON - 30, ("p/a", Usage(10, 5), 0.25), ("p/b", Usage(1, 1), None)),
        receipt(NOON - 3600, ("p/a", Usage(10, 5), 0.5)),
        receipt(NOON - 3700, ("p/a", Usage(10, 5), 4.0), key_id=None),
        receipt(NOON - DAY_S, ("p/a", Usage(10, 5), 8.0)),
    ]
    ledger.restore(books_of(iter(newest), NOON), {"key_1": one})
    account = ledger.accounts()["key_1"]
    assert account.in_minute(NOON) == (1, 17)
    assert account.spent_on(NOON) == as_nano_usd(0.75)
    assert ledger.spent_usd("m", {"a": frozenset({"p/a"})}) == {"a": 4.75}
    ledger.reserve(one, plan(None), RequestFacts(1))
    with pytest.raises(RateLimitExceeded):
        ledger.reserve(one, plan(None), RequestFacts(1))


def test_a_minute_that_began_yesterday_counts_across_midnight() -> None:
    clock = Clock()
    clock.now = NOON + DAY_S / 2 + 10
    ledger = Ledger(now=clock)
    ledger.restore(books_of([receipt(clock.now - 20, ("p/a", Usage(10, 5), 0.25))], clock.now), {"key_1": key()})
    account = ledger.accounts()["key_1"]
    assert account.in_minute(clock.now) == (1, 15)
    assert account.spent_on(clock.now) == 0
    assert ledger.spent_usd("m", {"a": frozenset({"p/a"})}) == {"a": 0.0}

"""What was used today, and may still be used: the accounts of API keys, and the spending at each target.

It stands beside the tree and outlives every actor, and every entry is made in one step on the event loop: that is what makes it exact
for requests that run at the same time. Receipts are the only record of it; a new process begins with what they tell (`runtime.books`).
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from wardwright.domain.chat import Usage
from wardwright.domain.control_state import ApiKey
from wardwright.domain.errors import RateLimitExceeded
from wardwright.domain.money import as_usd
from wardwright.domain.route import RequestFacts, RoutePlan
from wardwright.planner.cost import cost_nano_usd
from wardwright.policy.allowance import UNBOUNDED_ANSWER, Allowance, Limit, Refused, Use
from wardwright.runtime.books import Books, day_of, tokens_of

_LIMITS: Mapping[Limit, str] = {
    "requests_per_minute": "requests a minute",
    "tokens_per_minute": "tokens a minute",
    "usd_per_day": "dollars a day",
}


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one request has set aside of the account of its key."""

    account: Allowance
    use: Use


class Used(NamedTuple):
    """What a key has used: in the last minute, and today in billionths of a dollar, with what live requests have set aside."""

    requests_in_minute: int
    tokens_in_minute: int
    nano_usd_today: int
    live_requests: int


class Ledger:
    """Accounts by key id, spending of this day of UTC by model and target. `now` is in Unix seconds.

    `is_restored` says that the books hold what receipts of earlier processes tell.
    """

    def __init__(self, *, now: Callable[[], float]) -> None:
        self._now = now
        self._accounts: dict[str, Allowance] = {}
        self._spent: dict[tuple[str, str], int] = {}
        self._day = 0
        self.is_restored = False

    # --- keys

    def reserve(self, key: ApiKey, plan: RoutePlan, facts: RequestFacts) -> Reservation:
        """Set aside what a planned request may come to, at the dearest target of its plan.

        Raises: RateLimitExceeded.
        """
        usage = Usage(facts.estimated_prompt_tokens, facts.output_budget or UNBOUNDED_ANSWER, "estimated")
        prices = [target.price for target in plan.targets if target.price is not None]
        dearest = max((cost_nano_usd(usage, price) for price in prices), default=0)
        account = self._account(key)
        answer = account.reserve(self._now(), usage.prompt_tokens + usage.completion_tokens, dearest)
        if isinstance(answer, Refused):
            raise RateLimitExceeded(_refusal(key, answer), answer.retry_after_s)
        return Reservation(account, answer)

    def settle(self, reservation: Reservation, usage: Usage | None, nano_usd: int) -> None:
        """Put what a request came to, all attempts together, in the place of what it had set aside."""
        reservation.account.settle(reservation.use, tokens_of(usage), nano_usd)

    def accounts(self) -> Mapping[str, Allowance]:
        """The account of every key that was used, by key id."""
        return self._accounts

    def used(self, key_id: str) -> Used:
        """What a key has used so far."""
        account, now = self._accounts.get(key_id), self._now()
        if account is None:
            return Used(0, 0, 0, 0)
        return Used(*account.in_minute(now), account.spent_on(now), account.open_reservations)

    # --- targets

    def note_spending(self, model_id: str, target_id: str, nano_usd: int) -> None:
        """Enter what an attempt has cost that has ended now."""
        self._turn_the_page(self._now())
        place = (model_id, target_id)
        self._spent[place] = self._spent.get(place, 0) + nano_usd

    def spent_usd(self, model_id: str, budgets: Mapping[str, AbstractSet[str]]) -> dict[str, float]:
        """What requests for a model have cost today at the targets of each budget, in dollars, by the budget's name."""
        self._turn_the_page(self._now())
        return {
            name: as_usd(sum(self._spent.get((model_id, target_id), 0) for target_id in targets))
            for name, targets in budgets.items()
        }

    # --- a new process

    def restore(self, books: Books, keys: Mapping[str, ApiKey]) -> None:
        """Begin with what receipts of earlier processes tell. Keys that are not known any more have no account."""
        now = self._now()
        self._turn_the_page(now)
        self._spent = books.spent_at_targets(self._day)
        for key in (keys[key_id] for key_id in books.key_ids() if key_id in keys):
            spent = books.spent_with(key.key_id, self._day)
            self._account(key).restore(now, books.requests(key.key_id, now), spent)
        self.is_restored = True

    def _account(self, key: ApiKey) -> Allowance:
        account = self._accounts.get(key.key_id)
        if account is None:
            account = self._accounts[key.key_id] = Allowance(key.limits)
        return account

    def _turn_the_page(self, at: float) -> None:
        day = day_of(at)
        if day > self._day:
            self._day = day
            self._spent.clear()


def _refusal(key: ApiKey, refused: Refused) -> str:
    allowed = getattr(key.limits, refused.limit)
    limit = f"the API key {key.label!r} may use {allowed:g} {_LIMITS[refused.limit]}"
    if refused.retry_after_s is None:
        return f"{limit}, and this request alone may need more"
    return f"{limit}, and they are used up for now"

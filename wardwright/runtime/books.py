"""What receipts say was used: each day at every target, and by every key. A fold of their entries, in the order they were stored.

The ledger of a new process is made from it. It has two sources, which come to the same: a snapshot with the entries stored since, or
where there is none the newest receipts, as far back as anything still counts.
"""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from wardwright.domain.chat import Usage
from wardwright.domain.money import as_nano_usd
from wardwright.policy.allowance import DAY_S, MINUTE_S
from wardwright.receipts.events import AttemptFinished, Closed, Entry, Opened

_CLOCK_SLACK_S = 60.0
"""Clocks are set back by no more than that, the contract of storage says."""

_LONGEST_REQUEST_S = 3600.0


Day = str
"""A day of UTC, counted from 1970, in digits, as keys of JSON are."""


class Request(NamedTuple):
    """A request that a key has made: when, in Unix seconds, and the tokens that it came to."""

    at: float
    tokens: int


class KeyUse(msgspec.Struct):
    """What one key has used: billionths of a dollar by the day, and its last requests that are closed."""

    spent: dict[Day, int] = {}
    recent: list[Request] = []


class OpenRequest(msgspec.Struct):
    """A request that is not closed: when it began, for which model, with which key, and the tokens it has come to."""

    at: float
    model_id: str
    key_id: str | None
    tokens: int = 0


class Books(msgspec.Struct):
    """The fold. `spent` is in billionths of a dollar, by day, model and target; `keys` by key id, `open` by receipt id.

    What an attempt has cost counts on the day it ended, at its target; for its key it counts on the day the request began.
    """

    spent: dict[Day, dict[str, dict[str, int]]] = {}
    keys: dict[str, KeyUse] = {}
    open: dict[str, OpenRequest] = {}

    def take(self, entry: Entry) -> None:
        """Enter one entry. What is not of a request that was taken from its beginning on says nothing."""
        event = entry.event
        if isinstance(event, Opened):
            self.open[entry.receipt_id] = OpenRequest(entry.at, event.model_id, event.key_id)
        elif isinstance(event, AttemptFinished):
            request = self.open.get(entry.receipt_id)
            if request is not None:
                self._charge(request, event, entry.at)
        elif isinstance(event, Closed):
            request = self.open.pop(entry.receipt_id, None)
            if request is not None and request.key_id is not None:
                self._of(request.key_id).recent.append(Request(request.at, request.tokens))

    def let_go(self, now: float) -> None:
        """Keep what may count at `now` or later, also if the clock is set back a little: this day and those beside it, some two minutes."""
        today, since = day_of(now), now - MINUTE_S - _CLOCK_SLACK_S
        days = {str(day) for day in (today - 1, today, today + 1)}
        self.spent = {day: spent for day, spent in self.spent.items() if day in days}
        for use in self.keys.values():
            use.spent = {day: spent for day, spent in use.spent.items() if day in days}
            use.recent = [request for request in use.recent if request.at > since]
        self.keys = {key_id: use for key_id, use in self.keys.items() if use.spent or use.recent}

    def spent_at_targets(self, day: int) -> dict[tuple[str, str], int]:
        """What a day has cost, by model and target."""
        models = self.spent.get(str(day), {})
        return {(model_id, target): spent for model_id in models for target, spent in models[model_id].items()}

    def spent_with(self, key_id: str, day: int) -> int:
        """What requests of a day have cost that were made with a key."""
        use = self.keys.get(key_id)
        return 0 if use is None else use.spent.get(str(day), 0)

    def requests(self, key_id: str, now: float) -> list[Request]:
        """What a key has asked for in the minute before `now`, open requests included, in the order of their beginnings.

        What began after `now` by a clock that was set back since is taken to have begun now.
        """
        use = self.keys.get(key_id)
        found = [] if use is None else list(use.recent)
        found += [Request(one.at, one.tokens) for one in self.open.values() if one.key_id == key_id]
        return sorted(
            Request(min(one.at, now), one.tokens) for one in found if now - MINUTE_S < one.at <= now + _CLOCK_SLACK_S
        )

    def key_ids(self) -> set[str]:
        """The keys that anything is known of."""
        return {*self.keys, *(one.key_id for one in self.open.values() if one.key_id is not None)}

    def _charge(self, request: OpenRequest, attempt: AttemptFinished, at: float) -> None:
        request.tokens += tokens_of(attempt.usage)
        nano_usd = as_nano_usd(attempt.cost_usd or 0.0)
        if not nano_usd:
            return
        targets = self.spent.setdefault(str(day_of(at)), {}).setdefault(request.model_id, {})
        targets[attempt.model] = targets.get(attempt.model, 0) + nano_usd
        if request.key_id is not None:
            spent, day = self._of(request.key_id).spent, str(day_of(request.at))
            spent[day] = spent.get(day, 0) + nano_usd

    def _of(self, key_id: str) -> KeyUse:
        return self.keys.setdefault(key_id, KeyUse())


def books_of(newest: Iterable[tuple[Entry, ...]], now: float) -> Books:
    """Make the books from receipts, newest first, as far back as they may count. Blocks on the store."""
    since = min(now - MINUTE_S, day_of(now) * DAY_S) - _LONGEST_REQUEST_S
    books, recent = Books(), []
    for entries in newest:
        if entries[0].at < since:
            break
        recent.append(entries)
    for entries in reversed(recent):
        for entry in entries:
            books.take(entry)
    return books


def day_of(at: float) -> int:
    """The day of UTC, counted from 1970, that a time in Unix seconds is of."""
    return int(at // DAY_S)


def tokens_of(usage: Usage | None) -> int:
    """Prompt and completion together."""
    return 0 if usage is None else usage.prompt_tokens + usage.completion_tokens

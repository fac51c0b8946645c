"""Which receipts a list shows: filters from query parameters, and pages over receipts that come newest first.

Filters are exact and AND-combined. A blank or unknown parameter filters nothing; a value that no receipt can have (a time that
is no number, a model that does not exist) finds nothing. Only `limit` and `cursor` can be wrong.
"""

import base64
import binascii
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, get_args

import msgspec

from wardwright.domain.errors import RequestError
from wardwright.receipts.events import Entry, FinalStatus
from wardwright.receipts.fold import fold, summarise, summary_of
from wardwright.receipts.receipt import Receipt, Summary

DEFAULT_LIMIT = 50
MAX_LIMIT = 500

# A page ends after this many receipts even when it is not full: a filter that finds nothing must not read the whole log within
# one request. The cursor goes on from there.
MAX_SCANNED = 5_000

# Ids sort by the time at which they are minted, a moment before the receipt is opened; a clock may have been set back in between.
CLOCK_SLACK_S = 60

_EXACT = (
    "tenant_id",
    "application_id",
    "consuming_agent_id",
    "consuming_user_id",
    "session_id",
    "run_id",
    "status",
    "model_id",
    "model_version",
    "selected_provider",
    "selected_model",
    "stream_policy_action",
)
# There are no rules over tools yet, so no receipt has a `tool_policy_status` or a `tool_risk_class`: whoever asks for one finds nothing, as
# for any other value that none has.
TOOL_FIELDS = (
    "tool_namespace",
    "tool_name",
    "tool_phase",
    "tool_policy_status",
    "tool_risk_class",
    "tool_source",
    "tool_call_id",
)
OPEN = "open"
"""What to ask `status` for to find receipts that have none yet."""
STATUSES = (*get_args(FinalStatus), OPEN)
FILTERS = (*_EXACT, *TOOL_FIELDS, "model", "simulation", "created_at_min", "created_at_max")

_MODEL_PREFIX = "wardwright/"
_CURSOR_VERSION = "1:"


class ReceiptFilter(msgspec.Struct, frozen=True):
    """What a caller asked to see. `exact` pairs summary fields with the value they must have; a `status` of None asks for what is open.

    `before` is the receipt id that the cursor named: only older receipts follow, down to the one of the id `least`. Times are inclusive
    Unix seconds.
    """

    exact: tuple[tuple[str, str | bool | None], ...] = ()
    created_at_min: float = -math.inf
    created_at_max: float = math.inf
    limit: int = DEFAULT_LIMIT
    before: str | None = None
    least: str = ""

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> "ReceiptFilter":
        """Read the query parameters of a list request. Purity: pure.

        Raises: RequestError naming `limit` or `cursor` when that parameter is not a possible one.
        """
        given = {name: value for name, text in parameters.items() if (value := text.strip())}
        return cls(
            exact=_exact(given),
            created_at_min=_seconds(given.get("created_at_min"), absent=-math.inf, unparsable=math.inf),
            created_at_max=_seconds(given.get("created_at_max"), absent=math.inf, unparsable=-math.inf),
            limit=_limit(given.get("limit")),
            before=_before(given.get("cursor")),
        )

    def matches(self, receipt: Receipt) -> bool:
        """Whether a receipt is one of those asked for; `limit` and `before` are the page's business. Purity: pure."""
        return self.accepts(summarise(receipt))

    def accepts(self, summary: Summary) -> bool:
        """What `matches` says of the receipt that the summary is of. Purity: pure."""
        return self.created_at_min <= summary.created_at <= self.created_at_max and all(
            getattr(summary, name, None) == value for name, value in self.exact
        )

    def takes_all(self) -> bool:
        """Whether every receipt is asked for. Purity: pure."""
        return not self.exact and self.created_at_min == -math.inf and self.created_at_max == math.inf

    def takes_only_open(self) -> bool:
        """Whether only receipts without a closing entry are asked for. Purity: pure."""
        return ("status", None) in self.exact

    def traces(self) -> tuple[bytes, ...]:
        """Bytes that the encoded entries of every receipt contain which matches: each is in one of them. Purity: pure.

        Whoever looks through many receipts searches for these first, which costs a tenth of decoding.
        """
        return tuple(_trace(value) for _, value in self.exact if value is not False and value is not None)

    def going_on(self, next_cursor: str) -> "ReceiptFilter":
        """The same question below a page's cursor. Purity: pure. Raises: RequestError when it is no cursor."""
        return msgspec.structs.replace(self, before=_before(next_cursor))


class Page(msgspec.Struct, frozen=True):
    """A piece of a list. A page may hold fewer than the limit, even none, and still have a `next_cursor`: go on until it is null."""

    data: tuple[Summary, ...]
    next_cursor: str | None


class Unlike(NamedTuple):
    """A receipt that was seen not to match without decoding it, and when it was opened.

    It may stand for `many` of them, of which it is the last; then `at` is infinite, as nothing is known of theirs.
    """

    receipt_id: str
    at: float
    many: int = 1


def page(newest: Iterable[Sequence[Entry] | Unlike], wanted: ReceiptFilter) -> Page:
    """Gather one page from receipts by descending id, which begin below `wanted.before` (see `ReceiptStore.newest`).

    Reads no more of the iterator than it needs to know whether another match follows. Purity: pure but for the iterator.
    """
    found: list[Summary] = []
    scanned = 0
    for entries in newest:
        first = entries if isinstance(entries, Unlike) else entries[0]
        if _is_beyond(first, wanted):
            break
        scanned += entries.many if isinstance(entries, Unlike) else 1
        summary = None if isinstance(entries, Unlike) else summary_of(entries)
        if summary is not None and wanted.accepts(summary):
            if len(found) == wanted.limit:
                return Page(tuple(found), cursor(found[-1].receipt_id))
            found.append(summary)
        if scanned >= MAX_SCANNED:
            return Page(tuple(found), cursor(first.receipt_id))
    return Page(tuple(found), None)


def select(newest: Iterable[Sequence[Entry] | Unlike], wanted: ReceiptFilter) -> Iterator[Receipt]:
    """Choose the receipts that a filter matches, all of them: the limit is for pages. Purity: pure but for the iterator."""
    for entries in newest:
        first = entries if isinstance(entries, Unlike) else entries[0]
        if _is_beyond(first, wanted):
            return
        if not isinstance(entries, Unlike) and (wanted.takes_all() or wanted.accepts(summary_of(entries))):
            yield fold(entries)


def _is_beyond(first: Entry | Unlike, wanted: ReceiptFilter) -> bool:
    """Whether neither this receipt nor any after it is asked for."""
    return first.at < wanted.created_at_min - CLOCK_SLACK_S or first.receipt_id < wanted.least


def cursor(receipt_id: str) -> str:
    """Name the place just below a receipt. Opaque to callers. Purity: pure."""
    return base64.urlsafe_b64encode(f"{_CURSOR_VERSION}{receipt_id}".encode()).decode().rstrip("=")


def _exact(given: Mapping[str, str]) -> tuple[tuple[str, str | bool | None], ...]:
    exact: list[tuple[str, str | bool | None]] = [
        (name, None if (name, given[name]) == ("status", OPEN) else given[name])
        for name in (*_EXACT, *TOOL_FIELDS)
        if name in given
    ]
    if "model" in given:
        exact.append(("model_id", given["model"].removeprefix(_MODEL_PREFIX)))
    if "simulation" in given:
        text = given["simulation"].lower()
        # Any other word stays a word, which equals no receipt's true or false.
        exact.append(("simulation", {"true": True, "false": False}.get(text, text)))
    return tuple(exact)


def _trace(value: str | bool) -> bytes:
    """What a fact looks like in an encoded entry."""
    if value is True:
        return b'"simulation":true'
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return b"\xff"  # which no entry contains, as none has a value that cannot be encoded


def _seconds(text: str | None, *, absent: float, unparsable: float) -> float:
    if text is None:
        return absent
    try:
        return int(text)
    except ValueError:
        return unparsable


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_LIMIT)) and 1 <= int(text) <= MAX_LIMIT:
        return int(text)
    raise RequestError(f"limit: expected a whole number from 1 to {MAX_LIMIT}", param="limit")


def _before(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (ValueError, binascii.Error):
        plain = ""
    receipt_id = plain.removeprefix(_CURSOR_VERSION)
    if plain == receipt_id or not receipt_id.isprintable() or not receipt_id:
        raise RequestError("cursor: expected a next_cursor of an earlier page, unchanged", param="cursor")
    return receipt_id

"""The only place that mints ids: for receipts, requests and this process."""

import random
import secrets
import time
from collections.abc import Callable

from wardwright.domain.keys import KEY_PREFIX

_TIME_DIGITS = 11  # milliseconds since 1970 in hex: enough until the year 2527
_TAIL_DIGITS = 13
_LARGEST_STEP_BITS = 24
# Ids of requests are to be unlike each other, not to be secret; a random number of the operating system costs a system call.
_draw = random.Random(secrets.randbits(256))  # noqa: S311 - what is secret is drawn from `secrets`


class ReceiptIds:
    """Mints receipt ids, each greater than all before it.

    Of two ids of one millisecond the later is the earlier one and a random step, as monotonic ULIDs have it; a clock that goes back
    stands still here. `clock` tells Unix seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._last = 0

    def mint(self) -> str:
        """A new id: `rcpt_`, eleven hex digits of Unix milliseconds, thirteen random ones."""
        fresh = (int(self._clock() * 1000) << 4 * _TAIL_DIGITS) + _draw.getrandbits(4 * _TAIL_DIGITS)
        is_later = fresh >> 4 * _TAIL_DIGITS > self._last >> 4 * _TAIL_DIGITS
        self._last = fresh if is_later else self._last + 1 + _draw.getrandbits(_LARGEST_STEP_BITS)
        return f"rcpt_{self._last:0{_TIME_DIGITS + _TAIL_DIGITS}x}"


_receipt_ids = ReceiptIds()


def mint_receipt_id() -> str:
    """A new receipt id, greater than all that this process has minted.

    Newest-first listings and their cursors rely on that, and so does a session: the last receipt with its name says where it is.
    """
    return _receipt_ids.mint()


def first_receipt_id(at: float) -> str:
    """An id below all receipt ids that are minted from a time on, and above those from before. `at` is in Unix seconds."""
    return f"rcpt_{max(0, int(at * 1000)):0{_TIME_DIGITS}x}"


def mint_request_id() -> str:
    """An id for a request that brought none."""
    return f"req_{_draw.getrandbits(96):024x}"


def mint_boot_id() -> str:
    """An id for this run of the daemon: an open receipt of another boot belongs to a process that died."""
    return f"boot_{secrets.token_hex(8)}"


def mint_key() -> str:
    """A new API key: 256 random bits. It is shown once and kept as a hash."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def mint_key_id() -> str:
    """The name by which an API key is listed and revoked."""
    return f"key_{secrets.token_hex(8)}"

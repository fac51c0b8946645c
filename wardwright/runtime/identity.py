"""The only place that mints ids: for receipts, requests and this process."""

import random
import secrets
import time

from wardwright.domain.keys import KEY_PREFIX

_TIME_DIGITS = 11  # milliseconds since 1970 in hex: enough until the year 2527
# Ids of requests are to be unlike each other, not to be secret; a random number of the operating system costs a system call.
_draw = random.Random(secrets.randbits(256))  # noqa: S311 - what is secret is drawn from `secrets`


def mint_receipt_id() -> str:
    """A new receipt id: `rcpt_`, eleven hex digits of Unix milliseconds, thirteen random ones.

    Ids sort by creation time, which is what newest-first listings and their cursors rely on.
    """
    return f"rcpt_{int(time.time() * 1000):0{_TIME_DIGITS}x}{_draw.getrandbits(52):013x}"


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

"""The only place that mints ids: for receipts, requests and this process."""

import secrets
import time

from wardwright.domain.keys import KEY_PREFIX

_TIME_DIGITS = 11  # milliseconds since 1970 in hex: enough until the year 2527


def mint_receipt_id() -> str:
    """A new receipt id: `rcpt_`, eleven hex digits of Unix milliseconds, thirteen random ones.

    Ids sort by creation time, which is what newest-first listings and their cursors rely on.
    """
    return f"rcpt_{int(time.time() * 1000):0{_TIME_DIGITS}x}{secrets.randbits(52):013x}"


def mint_request_id() -> str:
    """An id for a request that brought none."""
    return f"req_{secrets.token_hex(12)}"


def mint_boot_id() -> str:
    """An id for this run of the daemon: an open receipt of another boot belongs to a process that died."""
    return f"boot_{secrets.token_hex(8)}"


def mint_key() -> str:
    """A new API key: 256 random bits. It is shown once and kept as a hash."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def mint_key_id() -> str:
    """The name by which an API key is listed and revoked."""
    return f"key_{secrets.token_hex(8)}"

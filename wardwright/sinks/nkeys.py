"""The keys by which users of NATS sign in: Ed25519, written in base32 with a prefix and a check sum.

The server is never shown the seed. It sends a nonce, and gets the public key, or a token signed by the user's account, with a signature.
"""

import base64
import binascii
import re
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_USER = 20 << 3  # the prefix that makes a public key begin with U
_SEED_OF_USER = bytes(((18 << 3) | (_USER >> 5), (_USER & 31) << 3))  # and a seed with SU
_CHECKED = 2  # bytes of the check sum, the low one first
_BLOCK = re.compile(r"-{3,}BEGIN [A-Z ]+-{3,}\s+(\S+)\s+-{3,}END [A-Z ]+-{3,}")


class UserKey:
    """A user's key. Raises ValueError for what is no seed of one, without repeating it."""

    def __init__(self, seed: str) -> None:
        text = seed.strip()
        try:
            raw = base64.b32decode(text + "=" * (-len(text) % 8))
        except binascii.Error as error:
            raise ValueError("is no seed of an nkey") from error
        body, check = raw[:-_CHECKED], raw[-_CHECKED:]
        if len(body) != len(_SEED_OF_USER) + 32 or _check_sum(body) != check:
            raise ValueError("is no seed of an nkey")
        if not body.startswith(_SEED_OF_USER):
            raise ValueError("is the seed of an nkey, but not a user's, which begins with SU")
        self._key = Ed25519PrivateKey.from_private_bytes(body[len(_SEED_OF_USER) :])

    @property
    def public(self) -> str:
        """The public key, as servers are configured with it."""
        body = bytes((_USER,)) + self._key.public_key().public_bytes_raw()
        return base64.b32encode(body + _check_sum(body)).decode()

    def sign(self, nonce: str) -> bytes:
        """The signature of a nonce, in base64."""
        return base64.b64encode(self._key.sign(nonce.encode()))


class Credentials(NamedTuple):
    """What a user signs in with; `jwt` is absent where the server has the public key itself."""

    key: UserKey
    jwt: str | None = None


def parse_credentials(text: str) -> Credentials:
    """Read a file of credentials as `nsc` makes it, or a seed alone. Raises: ValueError, which repeats nothing of it."""
    blocks = _BLOCK.findall(text)
    match blocks:
        case []:
            return Credentials(UserKey(text))
        case [jwt, seed]:
            return Credentials(UserKey(seed), jwt)
        case _:
            raise ValueError("has not one token and one seed")


def _check_sum(body: bytes) -> bytes:
    return binascii.crc_hqx(body, 0).to_bytes(_CHECKED, "little")

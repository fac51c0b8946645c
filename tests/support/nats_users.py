"""Users of NATS as `nsc` makes them: an operator's word for an account, the account's for a user, and the file that the user signs in with."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PREFIXES = {"operator": 14 << 3, "account": 0, "user": 20 << 3}
_SEED = 18 << 3
_UNLIMITED = dict.fromkeys(
    (
        "subs",
        "data",
        "payload",
        "imports",
        "exports",
        "conn",
        "leaf",
        "mem_storage",
        "disk_storage",
        "streams",
        "consumer",
    ),
    -1,
)


class Key(NamedTuple):
    """An nkey: what signs, and how public key and seed are written."""

    private: Ed25519PrivateKey
    public: str
    seed: str


def new_key(kind: str) -> Key:
    private, prefix = Ed25519PrivateKey.generate(), PREFIXES[kind]
    seed = bytes((_SEED | prefix >> 5, (prefix & 31) << 3)) + private.private_bytes_raw()
    return Key(private, _written(bytes((prefix,)) + private.public_key().public_bytes_raw()), _written(seed))


class Realm:
    """An operator with an account that may use JetStream. `settings` is what a server is to know of them."""

    def __init__(self) -> None:
        operator, system = new_key("operator"), new_key("account")
        self._account = new_key("account")
        grants = {key.public: self._grant(key, operator) for key in (system, self._account)}
        word = _signed(operator, operator.public, "operator", {"system_account": system.public})
        preloaded = "\n".join(f"  {public}: {grant}" for public, grant in grants.items())
        self.settings = f"operator: {word}\nresolver: MEMORY\nresolver_preload {{\n{preloaded}\n}}\n"
        self.settings += f"system_account: {system.public}\n"

    def credentials(self, *, seed: str | None = None) -> str:
        """The text of a file that lets a new user in; with the seed of another one, it does not."""
        user = new_key("user")
        word = _signed(
            self._account, user.public, "user", {"pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1}
        )
        return (
            f"-----BEGIN NATS USER JWT-----\n{word}\n------END NATS USER JWT------\n\n"
            "************************* IMPORTANT *************************\n"
            "NKEY Seed printed below can be used to sign and prove identity.\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{seed or user.seed}\n------END USER NKEY SEED------\n"
        )

    def _grant(self, account: Key, operator: Key) -> str:
        limits = _UNLIMITED | {"wildcards": True}
        if account is not self._account:  # the system's account has no streams
            limits |= {"mem_storage": 0, "disk_storage": 0}
        return _signed(operator, account.public, "account", {"limits": limits})


def _signed(issuer: Key, subject: str, kind: str, claims: Mapping[str, Any]) -> str:
    header = {"typ": "JWT", "alg": "ed25519-nkey"}
    body = {"jti": subject, "iat": 0, "iss": issuer.public, "name": kind, "sub": subject}
    text = ".".join(
        _base64(json.dumps(part).encode())
        for part in (header, {**body, "nats": {**claims, "type": kind, "version": 2}})
    )
    return f"{text}.{_base64(issuer.private.sign(text.encode()))}"


def _written(body: bytes) -> str:
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).decode().rstrip("=")


def _base64(body: bytes) -> str:
    return base64.urlsafe_b64encode(body).decode().rstrip("=")

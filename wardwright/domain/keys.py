"""API keys of models: how one is made, told apart, and shown.

A key is 256 random bits, so its plain SHA-256 keeps it secret: there is nothing to guess that a slow hash would protect.
"""

import hashlib

KEY_PREFIX = "wwk_"
SHOWN_CHARACTERS = 12
"""How much of a key stands in lists, so that its owner knows it again: the prefix and eight characters of 43."""


def key_hash(key: str) -> str:
    """Hash a key as it is stored. Purity: pure."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def shown_prefix(key: str) -> str:
    """Shorten a key to what may be shown of it. Purity: pure."""
    return key[:SHOWN_CHARACTERS]

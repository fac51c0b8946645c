"""Which side of a canary a request is on: the same for every request of a session, and nobody's choice but the server's."""

from hashlib import blake2b

BUCKETS = 10_000
_DIGEST_BYTES = 8


def bucket_of(session_id: str, seed: int) -> int:
    """Place a session among `BUCKETS`, evenly and for good; without the seed nobody can tell where. Purity: pure."""
    key = seed.to_bytes(_DIGEST_BYTES, "big")
    digest = blake2b(session_id.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES, key=key).digest()
    return int.from_bytes(digest, "big") % BUCKETS


def takes(bucket: int, percent: float) -> bool:
    """Whether a canary of this share serves the bucket; one that grows keeps the buckets it has. Purity: pure."""
    return bucket < percent / 100 * BUCKETS

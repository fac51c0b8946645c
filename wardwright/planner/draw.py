"""Weighted draws from a seed: the same seed draws the same order, on every machine and in every version of Python."""

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from struct import unpack

_WORD_BITS = 64


def draw_order(seed: int, purpose: str, weights: Sequence[int]) -> list[int]:
    """Draw indices without replacement, each with the share of its weight among those still left. Purity: pure.

    Args:
        seed: the draw behind one request.
        purpose: what is being drawn, so that two choices made for one request do not fall alike.
        weights: positive whole numbers; whole, because sums of fractions would depend on their order.
    """
    count = len(weights)
    noise = hashlib.shake_256(f"{seed}:{purpose}".encode()).digest(count * _WORD_BITS // 8)
    left, order = list(range(count)), []
    for word in unpack(f"<{count}Q", noise):
        shares = list(accumulate(weights[index] for index in left))
        # A 64-bit word scaled to the sum of the weights favours no index by more than that sum in 2^64.
        order.append(left.pop(bisect_right(shares, word * shares[-1] >> _WORD_BITS)))
    return order

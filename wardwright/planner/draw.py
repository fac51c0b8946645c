"""Weighted draws from a seed: the same seed draws the same order, on every machine and in every version of Python."""

import hashlib
from collections.abc import Sequence
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
    left, shares, total = list(range(count)), list(weights), sum(weights)
    order: list[int] = []
    for word in unpack(f"<{count}Q", noise):
        # A 64-bit word scaled to the sum of the weights favours no index by more than that sum in 2^64.
        rest, place = word * total >> _WORD_BITS, 0
        while rest >= shares[place]:
            rest -= shares[place]
            place += 1
        total -= shares.pop(place)
        order.append(left.pop(place))
    return order

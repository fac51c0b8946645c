"""Amounts of money: billionths of a dollar, as whole numbers, so that sums are exact in any order. Receipts show dollars."""

_NANO_PER_USD = 1_000_000_000


def as_usd(nano_usd: int) -> float:
    """Show an amount in dollars. Purity: pure."""
    return nano_usd / _NANO_PER_USD


def as_nano_usd(usd: float) -> int:
    """Read an amount that `as_usd` showed or an operator wrote. Purity: pure."""
    return round(usd * _NANO_PER_USD)

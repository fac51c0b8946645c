"""What a provider says of its own rate limits."""

from typing import Literal

import msgspec

LimitedUnit = Literal["requests", "tokens", "input_tokens", "output_tokens"]


class RateWindow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One limit as an answer stated it: how much of what, how much of it is left, and in how many seconds it is whole again."""

    unit: LimitedUnit
    limit: int | None = None
    remaining: int | None = None
    resets_in_s: float | None = None

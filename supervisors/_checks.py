"""What the fields of specs and flags may hold: the questions which several of them ask.

Pure. Whoever asks says in its own words what is wrong.
"""

import math
from typing import TypeGuard


def is_count(value: object, *, least: int) -> bool:
    """Whether it is a whole number from `least` on; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: object, *, least: float) -> TypeGuard[float]:
    """Whether it is a finite number from `least` on."""
    return is_number(value) and least <= value < math.inf


def expected_one_of(allowed: tuple[str, ...], value: object) -> str:
    """Say what a choice should have been."""
    return f"expected one of {', '.join(allowed)}, got {value!r}"

"""What to do when a far side refuses a request and does not say what in it: send it in halves, down to the records that it means."""

from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def refused_of(things: Mapping[str, T], send: Callable[[Mapping[str, T]], Mapping[str, str] | str]) -> dict[str, str]:
    """Send things by key; returns why some were refused, when all others were taken.

    `send` says why some of what it was given was refused, by key, or why all of it was refused together.
    """
    if not things:
        return {}
    refused = send(things)
    if not isinstance(refused, str):
        return dict(refused)
    if len(things) == 1:
        return dict.fromkeys(things, refused)
    keys = list(things)
    middle = len(keys) // 2
    halves = ({key: things[key] for key in half} for half in (keys[:middle], keys[middle:]))
    return {key: reason for half in halves for key, reason in refused_of(half, send).items()}

"""The composition root: the only place that knows every adapter and puts them together.

The command line calls these functions and nothing below them.
"""

from wardwright.app.daemon import CannotStart, run_daemon
from wardwright.app.files import PullFailed, load, pull_weights, read_receipts, weights_found, weights_needed

__all__ = [
    "CannotStart",
    "PullFailed",
    "load",
    "pull_weights",
    "read_receipts",
    "run_daemon",
    "weights_found",
    "weights_needed",
]

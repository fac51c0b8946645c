"""Wardwright: a supervised gateway that answers for what stands behind a stable model name."""

__version__ = "0.1.0"

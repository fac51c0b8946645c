"""Fixtures for the tests of the edge."""

from tests.wardwright.runtime.conftest import Logs, logs, threads

__all__ = ["Logs", "logs", "threads"]

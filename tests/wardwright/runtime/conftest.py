"""Fixtures for the tests of the runtime."""

import pytest

from tests.wardwright.runtime.stage import InlineThreads, inline_threads


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> InlineThreads:
    """Blocking work is done in the event loop's thread: what virtual time needs."""
    return inline_threads(monkeypatch)

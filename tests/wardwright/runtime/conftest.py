"""Fixtures for the tests of the runtime."""

from collections.abc import Iterator, MutableMapping
from typing import Any, TypeAlias

import pytest
from structlog.testing import capture_logs

from tests.wardwright.runtime.stage import InlineThreads, inline_threads

Logs: TypeAlias = list[MutableMapping[str, Any]]


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> InlineThreads:
    """Blocking work is done in the event loop's thread: what virtual time needs."""
    return inline_threads(monkeypatch)


@pytest.fixture(autouse=True)
def logs() -> Iterator[Logs]:
    """What is logged meanwhile, instead of on the terminal."""
    with capture_logs() as entries:
        yield entries

"""Fixtures for the tests of the composition root."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import structlog


@pytest.fixture
def own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a test configure the process's logging, and undo it.

    Loggers are not cached meanwhile: a cached one would go on writing to this test's stream in every later test.
    """
    configure: Callable[..., None] = structlog.configure

    def configure_uncached(**settings: Any) -> None:
        configure(**{**settings, "cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", configure_uncached)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    restore = partial(root.handlers.__setitem__, slice(None), handlers)
    yield
    restore()
    root.setLevel(level)
    structlog.reset_defaults()

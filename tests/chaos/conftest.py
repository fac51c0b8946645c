"""Faults that are meant are told to nobody."""

from collections.abc import Iterator

import pytest

from tests.chaos.verdict import quiet


@pytest.fixture
def quiet_faults() -> Iterator[None]:
    with quiet():
        yield

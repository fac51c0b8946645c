"""Fixtures of the tests from outside: a daemon per backend, an upstream that can misbehave, and configurations for both."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.daemon import Daemon, run_daemon
from tests.support.upstream import Upstream

BACKENDS = ("asyncio", "trio")

StartDaemon = Callable[..., Daemon]


def gateway_config(upstream: Upstream, *behaviours: str, backend: str = "asyncio", extra: str = "") -> str:
    """A configuration whose `test-model` is a cascade over one target per behaviour of the test upstream.

    Windows grow along the cascade, so that any prompt that fits the first fits all.
    """
    targets = "".join(
        f"""
[[targets]]
id = "up/{number}-{behaviour}"
provider = "up"
upstream_model = "{behaviour}"
context_window = {8192 * (number + 1)}
"""
        for number, behaviour in enumerate(behaviours)
    )
    members = ", ".join(f'"up/{number}-{behaviour}"' for number, behaviour in enumerate(behaviours))
    return f"""
[runtime]
backend = "{backend}"

[[providers]]
id = "up"
kind = "openai-compatible"
base_url = "{upstream.url}"
timeouts = {{ connect = 2, first_token = 1, idle = 1, total = 10 }}
retry = {{ attempts = 2, base_ms = 1, max_ms = 5, max_wait_ms = 2500 }}
{targets}
[[models]]
id = "test-model"
version = "v1"
description = "A model for tests"

[[models.cascades]]
id = "in-order"
models = [{members}]
{extra}
"""


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The event loop a daemon runs on."""
    name: str = request.param
    return name


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture
def start_daemon(tmp_path: Path) -> Iterator[StartDaemon]:
    """Start daemons that are stopped, and must have stopped cleanly, at the end of the test."""
    with ExitStack() as running:

        def start(config: str, *, folder: str = "daemon", environment: dict[str, str] | None = None) -> Daemon:
            return running.enter_context(run_daemon(tmp_path / folder, config, environment=environment))

        yield start

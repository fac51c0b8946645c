"""Fixtures of the tests from outside: a daemon per backend, an upstream that can misbehave, and configurations for both."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.daemon import Daemon, run_daemon
from tests.support.upstream import Upstream

BACKENDS = ("asyncio", "trio")

StartDaemon = Callable[..., Daemon]


def gateway_config(upstream: Upstream, *behaviours: str, backend: str = "asyncio", extra: str = "") -> str:
    """A configuration whose `test-model` is a cascade over one target per behaviour of the test upstream."""
    return gateway_config_of(upstream, {"test-model": behaviours}, backend=backend, extra=extra)


def gateway_config_of(
    upstream: Upstream,
    models: Mapping[str, Sequence[str]],
    *,
    backend: str = "asyncio",
    extra: str = "",
    silence_s: float = 20,
) -> str:
    """A configuration of several models, each a cascade over behaviours of the test upstream.

    Targets are named by place and behaviour (`up/0-reset`, `up/1-ok`). Windows grow along a cascade, so that any prompt that fits
    the first fits all.
    """
    places = sorted({place for behaviours in models.values() for place in enumerate(behaviours)})
    targets = "".join(
        f"""
[[targets]]
id = "up/{number}-{behaviour}"
provider = "up"
upstream_model = "{behaviour}"
context_window = {8192 * (number + 1)}
"""
        for number, behaviour in places
    )
    definitions = "".join(
        f"""
[[models]]
id = "{name}"
version = "v1"
description = "A model for tests"

[[models.cascades]]
id = "in-order"
models = [{", ".join(f'"up/{number}-{behaviour}"' for number, behaviour in enumerate(behaviours))}]
"""
        for name, behaviours in models.items()
    )
    return f"""
[runtime]
backend = "{backend}"

[[providers]]
id = "up"
kind = "openai-compatible"
base_url = "{upstream.url}"
timeouts = {{ connect = 10, first_token = {silence_s}, idle = {silence_s}, total = {max(60, 3 * silence_s)} }}
retry = {{ attempts = 2, base_ms = 1, max_ms = 5, max_wait_ms = 2500 }}
breaker = {{ failures = 1000, open_s = 0.001 }}
{targets}
{definitions}
{extra}
"""


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The event loop a daemon runs on."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def shared_upstream() -> Iterator[Upstream]:
    """One upstream for a module whose tests leave no trace in it but calls."""
    with Upstream() as server:
        yield server


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

"""What a model's actor counts."""

from functools import partial

import pytest

from supervisors import ChildSpec, Supervisor, System
from supervisors.testing import settle
from tests.wardwright.runtime.stage import board_of, cascade
from wardwright.runtime.model import ModelActor, RequestEnded

pytestmark = pytest.mark.anyio


async def test_it_counts_outcomes_and_the_targets_behind_them() -> None:
    children = [ChildSpec("model", partial(ModelActor, "test-model", board_of(cascade("first"))))]
    async with System("test", Supervisor(children)) as system:
        model = system.whereis("test/model")
        assert model is not None
        for message in (
            RequestEnded("completed", "first/m"),
            RequestEnded("completed", "first/m"),
            RequestEnded("provider_error", "first/m"),
            RequestEnded("route_blocked", None),
            "what is this?",
        ):
            model.cast(message)
        await settle()

        assert model.info().details == {
            "model_id": "test-model",
            "version": "v1",
            "requests_by_status": {"completed": 2, "provider_error": 1, "route_blocked": 1},
            "answers_by_target": {"first/m": 3},
        }

"""Who may call a model: which keys open it, and which do not."""

import pytest

from wardwright.domain.control import ControlEntry, ControlEvent, KeyCreated, KeyRevoked
from wardwright.domain.control_state import fold_control
from wardwright.domain.errors import Unauthorized
from wardwright.domain.keys import key_hash
from wardwright.domain.route import ModelDefinition
from wardwright.runtime.access import Access
from wardwright.runtime.control import ControlBoard

GOOD, OLD, OTHER = "wwk_good", "wwk_old", "wwk_other"


def model(*, keyed: bool) -> ModelDefinition:
    return ModelDefinition("m", "1", "t", (), (), requires_api_key=keyed)


@pytest.fixture
def board() -> ControlBoard:
    board = ControlBoard()
    events: list[ControlEvent] = [
        KeyCreated("key_good", "m", "good", GOOD, key_hash(GOOD)),
        KeyCreated("key_old", "m", "old", OLD, key_hash(OLD)),
        KeyRevoked("key_old"),
        KeyCreated("key_other", "elsewhere", "other", OTHER, key_hash(OTHER)),
    ]
    board.show(fold_control(ControlEntry(seq, 0.0, event) for seq, event in enumerate(events, 1)))
    return board


@pytest.mark.parametrize("keyed", [True, False])
def test_a_key_opens_its_own_model(board: ControlBoard, keyed: bool) -> None:
    key = Access(board).admit(model(keyed=keyed), GOOD)
    assert key is not None
    assert key.key_id == "key_good"


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize(
    ("shown", "message"),
    [
        (OLD, "this API key was revoked"),
        (OTHER, "this API key does not open the model 'm'"),
        ("wwk_nobody", "this API key does not open the model 'm'"),
    ],
)
def test_what_looks_like_a_key_must_be_one(board: ControlBoard, keyed: bool, shown: str, message: str) -> None:
    with pytest.raises(Unauthorized, match=message):
        Access(board).admit(model(keyed=keyed), shown)


@pytest.mark.parametrize("shown", [None, "unused", "sk-1234"])
def test_a_model_that_needs_no_key_ignores_what_cannot_be_one(board: ControlBoard, shown: str | None) -> None:
    assert Access(board).admit(model(keyed=False), shown) is None


@pytest.mark.parametrize("shown", [None, "unused", "sk-1234"])
def test_a_model_that_wants_a_key_takes_nothing_else(board: ControlBoard, shown: str | None) -> None:
    with pytest.raises(Unauthorized):
        Access(board).admit(model(keyed=True), shown)


def test_a_key_opens_nothing_from_its_revocation_on(board: ControlBoard) -> None:
    access = Access(board)
    assert access.admit(model(keyed=True), GOOD) is not None
    board.show(fold_control([ControlEntry(5, 0.0, KeyRevoked("key_good"))], board.state))
    with pytest.raises(Unauthorized, match="revoked"):
        access.admit(model(keyed=True), GOOD)

"""The fold of the control log: what each decision changes, what cannot follow, and that repeating a decision changes nothing."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.domain.control import (
    CanaryEnded,
    CanarySet,
    ControlEntry,
    ControlEvent,
    KeyCreated,
    KeyRevoked,
    ModelRetired,
    Published,
    RolledBack,
    Source,
    VersionAdded,
    decode_control,
    encode_control,
)
from wardwright.domain.control_state import Contradiction, ControlState, ModelHistory, fold_control


def added(version: str, content: str | None = None, source: Source = "admin") -> VersionAdded:
    return VersionAdded("m", version, content or f"sha256:{version}", source, msgspec.Raw(b'{"id":"m"}'))


def fold(*events: ControlEvent, onto: ControlState | None = None) -> ControlState:
    state = onto or ControlState()
    return fold_control(
        [ControlEntry(seq, float(seq), event) for seq, event in enumerate(events, state.seq + 1)], state
    )


def model(*events: ControlEvent) -> ModelHistory:
    return fold(*events).models["m"]


def active(history: ModelHistory) -> str | None:
    return None if history.active is None else history.active.version


TWO = (added("v1"), Published("m", "v1", "file"), added("v2"), Published("m", "v2", "admin"))


class TestVersions:
    def test_a_draft_serves_nobody(self) -> None:
        history = model(added("v1"))
        assert active(history) is None
        assert history.versions["v1"].added_at == 1.0

    def test_the_last_published_version_is_active(self) -> None:
        history = model(*TWO)
        assert active(history) == "v2"
        assert history.previous is not None
        assert history.previous.version == "v1"

    def test_a_version_that_is_there_with_the_same_content_is_added_once(self) -> None:
        assert model(added("v1"), added("v1")).steps == model(added("v1")).steps

    def test_a_version_never_changes_its_content(self) -> None:
        with pytest.raises(Contradiction, match="already there with other content"):
            model(added("v1"), added("v1", "sha256:other"))

    def test_publishing_what_is_not_there_is_refused(self) -> None:
        with pytest.raises(Contradiction, match="has no version 'v2'"):
            model(added("v1"), Published("m", "v2", "admin"))

    def test_what_the_file_said_last_is_remembered_whatever_is_published_after(self) -> None:
        assert model(*TWO).file_version == "v1"

    def test_history_tells_every_step(self) -> None:
        steps = model(*TWO, CanarySet("m", "v1", 10, 7), CanaryEnded("m"), RolledBack("m", "v1", "v2")).steps
        assert [(step.what, step.version) for step in steps] == [
            ("added", "v1"),
            ("published", "v1"),
            ("added", "v2"),
            ("published", "v2"),
            ("canary", "v1"),
            ("canary_ended", "v1"),
            ("rolled_back", "v1"),
        ]


class TestRollback:
    def test_it_takes_one_step_back_on_the_way_to_the_active_version(self) -> None:
        history = model(*TWO, RolledBack("m", "v1", "v2"))
        assert active(history) == "v1"
        assert history.previous is None

    def test_what_was_rolled_back_can_be_published_again(self) -> None:
        history = model(*TWO, RolledBack("m", "v1", "v2"), Published("m", "v2", "admin"))
        assert history.published == ("v1", "v2")

    def test_said_twice_it_goes_back_once(self) -> None:
        back = RolledBack("m", "v1", "v2")
        assert model(*TWO, back, back) == model(*TWO, back)

    def test_it_cannot_go_where_the_model_never_was(self) -> None:
        with pytest.raises(Contradiction, match="cannot go back from 'v2' to 'v3'"):
            model(*TWO, added("v3"), RolledBack("m", "v3", "v2"))


class TestCanary:
    def test_it_stands_beside_the_active_version(self) -> None:
        history = model(*TWO[:3], CanarySet("m", "v2", 10, 7))
        assert active(history) == "v1"
        assert history.canary is not None
        assert (history.canary.version, history.canary.percent, history.canary.seed) == ("v2", 10, 7)

    @pytest.mark.parametrize(
        "event",
        [Published("m", "v2", "admin"), CanaryEnded("m"), ModelRetired("m", "file")],
        ids=lambda e: type(e).__name__,
    )
    def test_it_ends(self, event: ControlEvent) -> None:
        assert model(*TWO[:3], CanarySet("m", "v2", 10, 7), event).canary is None

    @pytest.mark.parametrize(
        "before", [TWO, TWO[2:3], (*TWO, ModelRetired("m", "admin"))], ids=["active", "draft", "retired"]
    )
    def test_it_needs_another_version_to_stand_beside(self, before: Sequence[ControlEvent]) -> None:
        with pytest.raises(Contradiction, match="beside itself or beside nothing"):
            model(*before, CanarySet("m", "v2", 10, 7))


class TestRetirement:
    def test_a_retired_model_has_no_active_version_and_keeps_its_versions(self) -> None:
        history = model(*TWO, ModelRetired("m", "file"))
        assert active(history) is None
        assert set(history.versions) == {"v1", "v2"}
        assert history.file_version is None

    def test_published_again_it_is_back(self) -> None:
        history = model(*TWO, ModelRetired("m", "file"), Published("m", "v1", "file"))
        assert active(history) == "v1"
        assert history.file_version == "v1"


class TestKeys:
    KEY = KeyCreated("key_1", "m", "ci", "wwk_abc", "hash", {"tenant_id": "acme"})

    def test_a_key_is_known_until_it_is_revoked_and_after(self) -> None:
        keys = fold(self.KEY).keys
        assert (keys["key_1"].created_at, keys["key_1"].revoked_at) == (1.0, None)
        assert fold(self.KEY, KeyRevoked("key_1")).keys["key_1"].revoked_at == 2.0

    def test_said_twice_it_is_one_key_revoked_once(self) -> None:
        twice = fold(self.KEY, self.KEY, KeyRevoked("key_1"), KeyRevoked("key_1"))
        assert twice.keys["key_1"].revoked_at == 3.0

    def test_an_id_is_never_given_to_another_key(self) -> None:
        with pytest.raises(Contradiction, match="already there as another key"):
            fold(self.KEY, msgspec.structs.replace(self.KEY, key_hash="other"))


def test_an_entry_out_of_turn_is_refused() -> None:
    with pytest.raises(Contradiction, match="entry 3 cannot follow entry 1"):
        fold_control([ControlEntry(1, 0.0, added("v1")), ControlEntry(3, 0.0, added("v2"))])


EVENTS = st.sampled_from(
    [
        *(added(version) for version in ("v1", "v2", "v3")),
        *(Published("m", version, source) for version in ("v1", "v2", "v3") for source in ("file", "admin")),
        *(CanarySet("m", version, 10, 7) for version in ("v1", "v2")),
        CanaryEnded("m"),
        RolledBack("m", "v1", "v2"),
        RolledBack("m", "v2", "v3"),
        ModelRetired("m", "file"),
        TestKeys.KEY,
        KeyRevoked("key_1"),
    ]
)


@given(st.lists(EVENTS, max_size=40))
def test_whatever_is_decided_the_state_makes_sense_and_is_the_fold_of_its_log(events: list[ControlEvent]) -> None:
    state, log = ControlState(), []
    for event in events:
        entry = ControlEntry(state.seq + 1, 1.0, event)
        try:
            state = fold_control([entry], state)
        except Contradiction:
            continue
        log.append(decode_control(encode_control(entry)))
        again = fold_control([msgspec.structs.replace(entry, seq=entry.seq + 1)], state)
        assert _without_steps(again) == _without_steps(state), "repeating an event changes nothing"
        for history in state.models.values():
            assert set(history.published) <= set(history.versions)
            assert all(one != other for one, other in zip(history.published, history.published[1:], strict=False))
            if history.canary is not None:
                assert active(history) not in (None, history.canary.version)
    assert fold_control(log) == state


def _without_steps(state: ControlState) -> dict[str, object]:
    return {
        "keys": state.keys,
        "models": {name: msgspec.structs.replace(history, steps=()) for name, history in state.models.items()},
    }

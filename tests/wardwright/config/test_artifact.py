"""The artifact: what a draft may say, what becomes of it, and that it says the same again."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardwright.config.artifact import concise, decode_artifact, define, encode_artifact, read_artifact
from wardwright.config.problems import ConfigError
from wardwright.config.settings import CannedSettings, ModelSettings, SelectorSettings, TargetSettings

PROVIDERS = (CannedSettings(id="local", outputs=("hello",)),)
SMALL = TargetSettings(id="local/small", provider="local", context_window=100)
LARGE = TargetSettings(id="local/large", provider="local", context_window=1000)


def read(tree: dict[str, Any]) -> Any:
    return read_artifact(tree, targets=(SMALL, LARGE), providers=PROVIDERS)


def problems(tree: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tree)
    return [str(problem) for problem in caught.value.problems]


def fit(*members: str) -> dict[str, Any]:
    return {"id": "fit", "models": list(members)}


def test_targets_are_taken_from_the_configuration_as_it_is() -> None:
    found = read({"id": "m", "dispatchers": [fit("local/large")]})
    assert found.artifact.targets == (LARGE,)
    assert found.definition.targets[0].context_window == 1000


def test_an_own_target_comes_before_one_of_the_configuration() -> None:
    own = {"id": "local/large", "provider": "local", "context_window": 7}
    found = read({"id": "m", "dispatchers": [fit("local/large")], "targets": [own]})
    assert found.definition.targets[0].context_window == 7


def test_without_selectors_all_targets_are_part_of_it() -> None:
    found = read({"id": "m"})
    assert found.artifact.targets == (SMALL, LARGE)
    assert decode_artifact(encode_artifact(found.artifact)).definition == found.definition


def test_what_only_rules_name_goes_with_it() -> None:
    rule = {
        "id": "r",
        "kind": "route_gate",
        "contains": "secret",
        "action": "restrict_routes",
        "allowed_targets": ["local/large"],
    }
    found = read({"id": "m", "route_root": "local/small", "governance": [rule]})
    assert found.artifact.targets == (SMALL, LARGE)


def test_the_hash_is_of_the_content_whatever_the_label() -> None:
    plain, labelled = read({"id": "m"}), read({"id": "m", "version": "v1"})
    assert plain.content == labelled.content == plain.definition.version
    assert labelled.definition.version == "v1"


def test_a_label_may_not_pass_for_a_hash() -> None:
    assert problems({"id": "m", "version": "sha256:0000"})[0].startswith("version: expected a label, or nothing")
    content = read({"id": "m"}).content
    assert read({"id": "m", "version": content}).definition.version == content


def test_every_problem_is_found_at_once_and_none_twice() -> None:
    wrong = {
        "id": "m m",
        "version": "",
        "colour": 1,
        "route_root": "nowhere",
        "targets": [{"id": "x", "provider": "nobody", "context_window": 1}],
    }
    assert [line.split(":")[0] for line in problems(wrong)] == [
        *("id", "version", "colour", "targets.x.provider", "route_root")
    ]


def test_a_stored_artifact_that_makes_no_sense_is_said_so() -> None:
    for stored in (b'{"id": "m", "unheard_of": 1}', b"[]", b"{"):
        with pytest.raises(ConfigError, match="this version of Wardwright cannot read it"):
            decode_artifact(stored)


def test_what_is_stored_spells_defaults_out_and_what_is_shown_does_not() -> None:
    found = read({"id": "m", "dispatchers": [fit("local/large")]})
    assert msgspec.json.decode(encode_artifact(found.artifact))["max_attempts"] == 4
    assert concise(found.artifact) == {
        "id": "m",
        "dispatchers": [fit("local/large")],
        "targets": [{"id": "local/large", "provider": "local", "context_window": 1000}],
    }


@pytest.mark.parametrize(
    "selector",
    [
        {"dispatchers": [{**fit("local/small"), "sticky": "session", "on_overflow": "largest"}]},
        {"cascades": [{**fit("local/small", "wardwright/other"), "on_content_filter": "next"}]},
        {"alloys": [{"id": "a", "constituents": [{"model": "local/small", "weight": 3}, {"model": "local/large"}]}]},
        {"guards": [{"id": "g", "model": "local/small", "require": {"tenant_id": ["acme"], "max_usd_per_day": 0.5}}]},
        {"guards": [{"id": "g", "model": "local/small", "require": {"tags": ["a"]}, "otherwise": "local/large"}]},
        {"aliases": [{"id": "x", "model": "wardwright/other"}]},
        {"route_root": "wardwright/other"},
    ],
    ids=lambda selector: next(iter(selector)),
)
def test_every_kind_of_selector_is_stored_and_read_back(selector: dict[str, Any]) -> None:
    found = read({"id": "m", **selector})
    assert decode_artifact(encode_artifact(found.artifact)).definition == found.definition
    assert read(concise(found.artifact)) == found


NAMES = st.sampled_from(["local/small", "local/large"])
SELECTORS = st.lists(NAMES, min_size=1, max_size=2, unique=True).map(
    lambda members: (SelectorSettings(id="only", models=tuple(members)),)
)


@given(
    st.builds(
        ModelSettings,
        id=st.just("m"),
        version=st.none() | st.just("v1"),
        description=st.text(max_size=20),
        dispatchers=SELECTORS | st.just(()),
        max_attempts=st.integers(1, 100),
        reveal=st.sampled_from(["model", "target"]),
    )
)
def test_an_artifact_means_the_same_stored_shown_and_drafted_again(model: ModelSettings) -> None:
    found = define(model, (SMALL, LARGE))
    assert decode_artifact(encode_artifact(found.artifact)) == found
    again = read_artifact(concise(found.artifact), targets=(), providers=PROVIDERS)
    assert again == found

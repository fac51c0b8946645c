"""Definitions of models: what settings become, and versions by content."""

from typing import Any

import pytest

from wardwright.config.definitions import content_version, define_model
from wardwright.config.settings import (
    AccessSettings,
    ModelSettings,
    PriceSettings,
    SelectorSettings,
    TargetSettings,
)
from wardwright.domain.route import Cascade, Dispatcher, ModelDefinition, Price, Target

SHORT = TargetSettings(id="local/short", provider="local", context_window=100)
LONG = TargetSettings(
    id="managed/long",
    provider="managed",
    upstream_model="kimi",
    context_window=1000,
    capabilities=("vision", "chat", "tools"),
    price=PriceSettings(input=0.15, output=0.6),
    tags=("private",),
)


def define(targets: tuple[TargetSettings, ...] = (SHORT, LONG), **keys: Any) -> ModelDefinition:
    return define_model(ModelSettings(id="m", **keys), targets)


def test_a_definition_carries_the_whole_graph_behind_the_model() -> None:
    definition = define(
        version="7",
        description="d",
        route_root="fit",
        dispatchers=(SelectorSettings(id="fit", models=("local/short", "then")),),
        cascades=(SelectorSettings(id="then", models=("managed/long",)),),
        access=AccessSettings(unkeyed="internal"),
        reveal="target",
        max_attempts=2,
    )
    assert definition == ModelDefinition(
        id="m",
        version="7",
        root="fit",
        selectors=(Dispatcher("fit", ("local/short", "then")), Cascade("then", ("managed/long",))),
        targets=(
            Target("local/short", "local", "short", 100),
            Target(
                "managed/long",
                "managed",
                "kimi",
                1000,
                frozenset({"chat", "tools", "vision"}),
                Price(0.15, 0.6),
                ("private",),
            ),
        ),
        description="d",
        callable_from_outside=False,
        reveal_target=True,
        max_attempts=2,
    )


def test_targets_that_the_graph_does_not_reach_are_no_part_of_it() -> None:
    definition = define(cascades=(SelectorSettings(id="only", models=("managed/long",)),))
    assert [target.id for target in definition.targets] == ["managed/long"]


def test_an_upstream_name_defaults_to_the_id_without_the_providers_prefix() -> None:
    other = TargetSettings(id="plain", provider="local", context_window=1)
    assert [target.upstream_model for target in define((SHORT, other)).targets] == ["short", "plain"]


def test_a_version_by_content_is_the_same_for_equal_content() -> None:
    assert define().version == define().version
    assert define().version.startswith("sha256:")


def test_a_version_by_content_does_not_depend_on_the_order_of_capabilities() -> None:
    one = TargetSettings(id="a", provider="p", context_window=1, capabilities=("chat", "tools", "vision", "reasoning"))
    other = TargetSettings(
        id="a", provider="p", context_window=1, capabilities=("reasoning", "vision", "tools", "chat")
    )
    assert define((one,)).version == define((other,)).version


def test_a_version_by_content_is_pinned() -> None:
    # Receipts name versions: a change here makes every unversioned model look edited after an upgrade.
    assert define().version == "sha256:732d822dca123908"


@pytest.mark.parametrize(
    "changed",
    [
        define(description="other"),
        define(max_attempts=3),
        define(reveal="target"),
        define(access=AccessSettings(unkeyed="internal")),
        define(route_root="local/short"),
        define(cascades=(SelectorSettings(id="all targets", models=("local/short", "managed/long")),)),
        define((SHORT,)),
        define((SHORT, TargetSettings(id="managed/long", provider="managed", context_window=1001))),
    ],
)
def test_a_version_by_content_changes_with_the_content(changed: ModelDefinition) -> None:
    assert changed.version != define().version


def test_a_stated_version_is_no_part_of_the_content() -> None:
    assert content_version(define(version="1")) == content_version(define(version="2")) == define().version

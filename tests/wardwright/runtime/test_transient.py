"""Models for tests: before the published ones, beside each other, and gone without a trace."""

from pathlib import Path
from typing import Any

import pytest

from supervisors.testing import settle
from tests.wardwright.runtime.catalog_rig import Rig, draft, model, rig
from wardwright.config.inline_artifact import InlineModel, InvalidTestConfig, read_inline_artifact
from wardwright.config.problems import ConfigError
from wardwright.runtime.catalog_calls import AddDraft, PlaceInline, Publish, Reload
from wardwright.runtime.tree import PROVIDERS

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]


def target(name: str, **keys: Any) -> dict[str, Any]:
    return {"model": name, "context_window": 100, **keys}


def canned(name: str, answer: str) -> dict[str, Any]:
    return target(name, provider_kind="canned_sequence", canned_outputs=[answer])


def inline(name: str, *targets: dict[str, Any], version: str = "t1") -> InlineModel:
    tree = {"model_id": name, "version": version, "targets": list(targets)}
    return read_inline_artifact(tree, credentials_allowed=False)


def providers(on: Rig) -> set[str]:
    node = on.system.tree().find(PROVIDERS)
    assert node is not None
    return {child.id for child in node.children if child.status == "running"}


def asked_by(on: Rig, name: str) -> list[str]:
    return [target.provider for target in on.board.models[name].definition.targets]


async def place(on: Rig, model: InlineModel) -> None:
    await on.ask(PlaceInline(model))
    await settle()


class TestPlacing:
    async def test_it_is_served_with_its_own_providers(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            await place(on, inline("unit", target("tiny/x"), target("medium/x")))
            assert on.active() == {"m": "v1", "unit": "t1"}
            assert on.in_tree() == {"m", "unit"}
            assert providers(on) == {"local", "tiny", "medium"}

    async def test_it_hides_the_published_model_of_its_name_and_no_other(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1"), model("other", version="o1")) as on:
            other = on.board.models["other"]
            await place(on, inline("m", target("tiny/x")))
            assert on.active() == {"m": "t1", "other": "o1"}
            assert on.board.models["other"] is other
            assert on.history().active is not None, "what was decided stays decided"

    async def test_a_label_may_come_to_name_another_content(self, tmp_path: Path) -> None:
        async with rig(tmp_path) as on:
            await place(on, inline("unit", target("tiny/x")))
            await place(on, inline("unit", target("medium/x")))
            assert providers(on) == {"local", "medium"}, "what nobody asks any more is gone"
            assert on.versions.definition("unit", "t1") is on.board.models["unit"].definition

    async def test_equal_providers_are_shared_and_others_of_the_same_name_stand_apart(self, tmp_path: Path) -> None:
        async with rig(tmp_path) as on:
            await place(on, inline("one", target("tiny/x")))
            await place(on, inline("two", target("tiny/y")))
            await place(on, inline("three", canned("tiny/x", "hello")))
            assert [asked_by(on, name) for name in ("one", "two", "three")] == [["tiny"], ["tiny"], ["tiny.2"]]
            await place(on, inline("one", target("medium/x")))
            assert providers(on) == {"local", "medium", "tiny", "tiny.2"}
            await place(on, inline("two", target("medium/x")))
            assert providers(on) == {"local", "medium", "tiny.2"}

    async def test_a_provider_of_the_configuration_is_never_touched(self, tmp_path: Path) -> None:
        async with rig(tmp_path) as on:
            before = on.providers.slots()["local"]
            await place(on, inline("unit", canned("local/x", "hello")))
            assert asked_by(on, "unit") == ["local.2"]
            assert on.providers.slots()["local"] is before

    async def test_a_changed_provider_is_refitted_under_its_name(self, tmp_path: Path) -> None:
        async with rig(tmp_path) as on:
            await place(on, inline("unit", canned("tiny/x", "hello")))
            lease = on.providers.lease("tiny")
            await place(on, inline("unit", canned("tiny/x", "good day")))
            assert asked_by(on, "unit") == ["tiny"]
            assert on.providers.slots()["tiny"] is not lease
            await lease.release()

    async def test_models_it_embeds_come_and_go_with_it(self, tmp_path: Path) -> None:
        inner = {"model_id": "inner", "targets": [target("tiny/x")]}
        async with rig(tmp_path) as on:
            await place(on, inline("unit", target("safe", artifact=inner)))
            assert set(on.active()) == {"m", "unit", "inner"}
            assert on.board.models["unit"].composition().versions.keys() == {"unit", "inner"}
            await place(on, inline("unit", target("tiny/x")))
            assert set(on.active()) == {"m", "unit"}

    async def test_an_embedded_model_does_not_take_anothers_name(self, tmp_path: Path) -> None:
        inner = {"model_id": "m", "targets": [target("tiny/x")]}
        async with rig(tmp_path, model("m", version="v1")) as on:
            with pytest.raises(InvalidTestConfig, match='got "m", which is served already'):
                await on.ask(PlaceInline(inline("unit", target("safe", artifact=inner))))
            assert on.active() == {"m": "v1"}

    async def test_it_may_stand_on_models_that_are_served_and_on_no_others(self, tmp_path: Path) -> None:
        def over(name: str) -> InlineModel:
            tree = {
                "model_id": "unit",
                "targets": [target("tiny/x")],
                "cascades": [{"id": "c", "models": [f"wardwright/{name}", "tiny/x"]}],
            }
            return read_inline_artifact(tree, credentials_allowed=False)

        async with rig(tmp_path) as on:
            await place(on, over("m"))
            assert "m" in on.board.models["unit"].composition().versions
            with pytest.raises(InvalidTestConfig, match='stands on "nobody", which is not served'):
                await on.ask(PlaceInline(over("nobody")))


class TestEnd:
    async def test_it_is_in_no_log_and_gone_after_a_restart_of_the_daemon(self, tmp_path: Path) -> None:
        async with rig(tmp_path) as on:
            before = on.control.state
            await place(on, inline("unit", target("tiny/x")))
            assert on.control.state is before

    async def test_it_outlives_a_crash_of_the_catalog_and_of_the_branches(self, tmp_path: Path) -> None:
        async with rig(tmp_path) as on:
            await place(on, inline("unit", target("tiny/x")))
            on.kill()
            await settle()
            on.kill(PROVIDERS)
            await settle()
            assert "unit" in on.active()
            assert providers(on) == {"local", "tiny"}

    async def test_a_decision_about_its_name_ends_it(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            await place(on, inline("m", target("tiny/x")))
            await on.ask(AddDraft("m", draft("local/large", version="v2")))
            assert on.active()["m"] == "t1", "a draft decides nothing"
            await on.ask(Publish("m", "v2"))
            await settle()
            assert on.active() == {"m": "v2"}
            assert providers(on) == {"local"}

    async def test_so_does_publishing_what_it_hides(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            await place(on, inline("m", target("tiny/x")))
            await on.ask(Publish("m", "v1"))
            assert on.active() == {"m": "v1"}
            assert on.steps() == ["added v1", "published v1"]

    async def test_a_file_that_changes_its_model_ends_it_and_others_stay(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            await place(on, inline("m", target("tiny/x")))
            await place(on, inline("unit", target("medium/x")))
            on.write(model("m", "local/large", version="v2"))
            await on.ask(Reload())
            await settle()
            assert on.active() == {"m": "v2", "unit": "t1"}
            assert providers(on) == {"local", "medium"}

    async def test_a_configuration_does_not_take_its_providers_name(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            await place(on, inline("unit", target("tiny/x")))
            on.write(model("m", version="v1"), '\n[[providers]]\nid = "tiny"\nkind = "canned"\noutputs = ["x"]\n')
            with pytest.raises(ConfigError, match=r"providers\.tiny: expected an id that no model for tests uses"):
                await on.ask(Reload())


class TestShown:
    async def test_operators_see_that_it_is_for_tests(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            await place(on, inline("m", target("tiny/x")))
            await place(on, inline("unit", target("tiny/x")))
            shown = {entry.id: (entry.source, entry.active_version, entry.status) for entry in on.desk.models()}
            assert shown == {"m": ("test", "t1", "active"), "unit": ("test", "t1", "active")}
            assert on.desk.model("wardwright/unit").version_count == 0
            assert [version.version for version in on.desk.versions("m").data] == ["v1"]
            assert on.desk.versions("unit").data == ()

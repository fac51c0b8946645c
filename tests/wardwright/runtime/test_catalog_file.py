"""The file's word on models, at a start and at a reload: when it counts, and when it says nothing."""

from pathlib import Path

import pytest

from tests.wardwright.runtime.catalog_rig import HEAD, draft, model, rig
from wardwright.config.problems import ConfigError
from wardwright.runtime.catalog_calls import AddDraft, Publish, Reload, Retire, RollBack
from wardwright.storage.control import MemoryControlLog

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]


async def test_a_changed_model_is_published_and_an_unchanged_one_left_alone(tmp_path: Path) -> None:
    async with rig(tmp_path, model("m"), model("other")) as on:
        before = on.active()
        on.write(model("m", "local/large"), model("other"))
        word = await on.ask(Reload())
        assert word.published.keys() == {"m"}
        assert on.active()["m"] == word.published["m"] != before["m"]
        assert on.active()["other"] == before["other"]


async def test_a_model_that_appears_is_started_and_one_that_is_taken_out_is_stopped(tmp_path: Path) -> None:
    async with rig(tmp_path, model("m"), model("old")) as on:
        on.write(model("m"), model("new"))
        word = await on.ask(Reload())
        assert (set(word.published), word.retired) == ({"new"}, ["old"])
        assert set(on.active()) == on.in_tree() == {"m", "new"}


async def test_an_unchanged_file_says_nothing(tmp_path: Path) -> None:
    async with rig(tmp_path) as on:
        before = on.control.state
        assert (await on.ask(Reload())).events == ()
        assert on.control.state is before


async def test_a_target_that_changes_changes_the_models_that_route_to_it(tmp_path: Path) -> None:
    async with rig(tmp_path, model("m"), model("large", "local/large")) as on:
        on.write(model("m"), model("large", "local/large"), head=HEAD.replace("32768", "65536"))
        assert (await on.ask(Reload())).published.keys() == {"large"}


async def test_what_was_published_since_stays_until_the_file_speaks_again(tmp_path: Path) -> None:
    log = MemoryControlLog()
    async with rig(tmp_path, model("m", version="v1"), log=log) as on:
        await on.ask(AddDraft("m", draft("local/large", version="v2")))
        await on.ask(Publish("m", "v2"))
        await on.ask(Reload())
        assert on.active() == {"m": "v2"}
    async with rig(tmp_path, model("m", version="v1"), log=log) as on:
        assert on.active() == {"m": "v2"}, "an unchanged file says nothing at a start either"
        on.write(model("m", "local/small", "local/large", version="v3"))
        await on.ask(Reload())
        assert on.active() == {"m": "v3"}
        assert on.history().file_version == "v3"


async def test_the_file_may_take_up_what_was_published_through_the_api(tmp_path: Path) -> None:
    async with rig(tmp_path, model("m", version="v1")) as on:
        await on.ask(AddDraft("m", draft("local/large", version="v2")))
        await on.ask(Publish("m", "v2"))
        on.write(model("m", "local/large", version="v2"))
        await on.ask(Reload())
        assert (on.active(), on.history().file_version) == ({"m": "v2"}, "v2")
        await on.ask(RollBack("m"))
        assert on.active() == {"m": "v1"}
        assert (await on.ask(Reload())).events == (), "the file has said so before"


async def test_a_model_retired_through_the_api_stays_so_until_the_file_says_something_new(tmp_path: Path) -> None:
    async with rig(tmp_path, model("m", version="v1"), model("other")) as on:
        await on.ask(Retire("m"))
        await on.ask(Reload())
        assert "m" not in on.active()
        on.write(model("other"))
        await on.ask(Reload())
        on.write(model("m", version="v1"), model("other"))
        await on.ask(Reload())
        assert on.active()["m"] == "v1", "taken out and put in again is a word"


async def test_models_that_the_file_never_had_are_none_of_its_business(tmp_path: Path) -> None:
    async with rig(tmp_path) as on:
        answer = await on.ask(AddDraft("new", draft("local/large")))
        await on.ask(Publish("new", answer.version))
        on.write(model("m", "local/large"))
        await on.ask(Reload())
        assert on.active()["new"] == answer.version


async def test_a_label_that_would_name_other_content_keeps_everything_as_it_is(tmp_path: Path) -> None:
    async with rig(tmp_path, model("m", version="v1"), model("other", version="o1")) as on:
        on.write(model("m", "local/large", version="v1"), model("other", "local/large", version="o2"))
        with pytest.raises(ConfigError) as refused:
            await on.ask(Reload())
        (problem,) = refused.value.problems
        assert problem.path == "models.m.version"
        assert 'got "v1", which already names another' in problem.message
        assert "state another version, or none" in problem.message
        assert on.active() == {"m": "v1", "other": "o1"}


async def test_a_file_with_problems_keeps_everything_as_it_is(tmp_path: Path) -> None:
    async with rig(tmp_path) as on:
        before, loaded = on.active(), on.config.loaded
        on.write(model("m", "local/larg"), "[sever]\n")
        with pytest.raises(ConfigError) as refused:
            await on.ask(Reload())
        assert len(refused.value.problems) == 2
        assert on.active() == before
        assert on.config.loaded is loaded


async def test_a_provider_that_a_published_version_asks_cannot_be_taken_out(tmp_path: Path) -> None:
    spare = HEAD + '\n[[providers]]\nid = "spare"\nkind = "canned"\noutputs = ["x"]\n'
    own = {"id": "spare/x", "provider": "spare", "context_window": 10}
    async with rig(tmp_path, head=spare) as on:
        await on.ask(AddDraft("new", {**draft("spare/x", version="n1"), "targets": [own]}))
        await on.ask(Publish("new", "n1"))
        on.write(model("m"))
        with pytest.raises(ConfigError) as refused:
            await on.ask(Reload())
        assert [str(problem) for problem in refused.value.problems] == [
            'models.new: version "n1" asks the provider "spare", which the configuration does not have'
        ]

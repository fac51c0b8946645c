"""The file's word on models, at a start and at a reload: when it counts, and when it says nothing."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wardwright.runtime.catalog_rig import HEAD, draft, model, rig
from wardwright.config.artifact import define
from wardwright.config.load import Loaded
from wardwright.config.problems import ConfigError
from wardwright.config.settings import ModelSettings, SelectorSettings, Settings, TargetSettings
from wardwright.domain.control import ControlEvent, ModelRetired, Published, RolledBack
from wardwright.domain.control_state import ControlState, ModelHistory, fold_next
from wardwright.runtime.catalog_calls import AddDraft, Publish, Reload, Retire, RollBack
from wardwright.runtime.catalog_file import files_word, version_event
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


@pytest.mark.parametrize("text", ["", " \n\n"])
async def test_a_file_that_has_been_emptied_is_not_believed_and_what_is_written_then_is(
    tmp_path: Path, text: str
) -> None:
    async with rig(tmp_path, model("m", version="v1")) as on:
        on.write(head=text)
        for _ in range(2):
            with pytest.raises(ConfigError, match="got an empty file"):
                await on.ask(Reload())
            assert on.active() == {"m": "v1"}
        on.write(model("m", version="v2", description="written at last"))
        await on.ask(Reload())
        assert on.active() == {"m": "v2"}


async def test_nor_is_an_included_one(tmp_path: Path) -> None:
    included = tmp_path / "models.toml"
    included.write_text(model("n", version="n1"), encoding="utf-8")
    async with rig(tmp_path, model("m", version="v1"), head='include = { models = ["models.toml"] }\n' + HEAD) as on:
        included.write_text("", encoding="utf-8")
        with pytest.raises(ConfigError, match=r"models\.toml: expected a configuration, got an empty file"):
            await on.ask(Reload())
        assert on.active() == {"m": "v1", "n": "n1"}


async def test_a_comment_says_that_nothing_is_meant(tmp_path: Path) -> None:
    async with rig(tmp_path, model("m")) as on:
        on.write(head="# nothing to serve\n")
        assert (await on.ask(Reload())).retired == ["m"]
        on.write(head="")
        with pytest.raises(ConfigError):
            await on.ask(Reload())


async def test_a_daemon_that_began_with_an_empty_file_has_nothing_to_lose_by_it(tmp_path: Path) -> None:
    async with rig(tmp_path, " ", head="") as on:
        assert (await on.ask(Reload())).events == ()
        on.write(model("m", version="v1"))
        await on.ask(Reload())
        assert on.active() == {"m": "v1"}


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


# Every content that a model of these stories may have: the targets it routes to.
CONTENTS = (("local/small",), ("local/large",), ("local/small", "local/large"))
TARGETS = tuple(
    TargetSettings(id=name, provider="local", context_window=window)
    for name, window in (("local/small", 8192), ("local/large", 32768))
)
STEPS = st.one_of(
    st.tuples(st.just("file"), st.none() | st.sampled_from(CONTENTS)),
    st.tuples(st.just("publish"), st.sampled_from(CONTENTS)),
    st.tuples(st.sampled_from(["roll back", "retire", "restart"]), st.none()),
)


def settings_of(content: tuple[str, ...]) -> ModelSettings:
    return ModelSettings(id="m", cascades=(SelectorSettings(id="in-order", models=content),))


def file_of(content: tuple[str, ...] | None) -> Loaded:
    models = () if content is None else (settings_of(content),)
    return Loaded(settings=Settings(targets=TARGETS, models=models), definitions=(), source="a file")


def decisions(step: str, content: tuple[str, ...] | None, file: Loaded, state: ControlState) -> Sequence[ControlEvent]:
    """What follows from a step, as the catalog has it."""
    history = state.models.get("m", ModelHistory("m"))
    match step:
        case "file" | "restart":
            return files_word(file, state).events
        case "publish" if content is not None:
            defined = define(settings_of(content), TARGETS)
            return version_event(defined, "admin"), Published("m", defined.definition.version, "admin")
        case "roll back" if history.active is not None and history.previous is not None:
            return (RolledBack("m", history.previous.version, history.active.version),)
        case "retire" if history.active is not None:
            return (ModelRetired("m", "admin"),)
    return ()


class LastWord:
    """What answers by the rule as the documents say it: a way of publications, and what the file has said last."""

    def __init__(self) -> None:
        self.way: list[tuple[str, ...]] = []
        self.answers = False
        self._said: tuple[str, ...] | None = None

    def take(self, step: str, content: tuple[str, ...] | None) -> None:
        match step:
            case "file" if content != self._said:
                self._said = content
                self._publish(content)
            case "publish":
                self._publish(content)
            case "roll back" if self.answers and len(self.way) > 1:
                self.way.pop()
            case "retire":
                self.answers = False

    def _publish(self, content: tuple[str, ...] | None) -> None:
        self.answers = content is not None
        if content is not None and self.way[-1:] != [content]:
            self.way.append(content)


@given(st.lists(STEPS, max_size=30))
def test_whoever_spoke_last_has_decided(steps: list[tuple[str, tuple[str, ...] | None]]) -> None:
    state, file, rule = ControlState(), file_of(None), LastWord()
    for step, content in steps:
        if step == "file":
            file = file_of(content)
        state = fold_next(state, decisions(step, content, file, state))
        rule.take(step, content)
        active = state.models["m"].active if "m" in state.models else None
        assert (active is not None) == rule.answers
        if active is not None:
            assert active.content == define(settings_of(rule.way[-1]), TARGETS).content

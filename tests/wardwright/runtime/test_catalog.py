"""Decisions about versions: what each does, what refuses it, what a crash or a restart in between leaves."""

from pathlib import Path

import anyio
import pytest

from supervisors import ActorDown, Call, CrashReport, StartFailed, UnexpectedRequest
from supervisors.testing import settle
from tests.wardwright.runtime.catalog_rig import HEAD, Rig, draft, model, rig
from tests.wardwright.runtime.stage import InlineThreads
from wardwright.config.problems import ConfigError
from wardwright.domain.control import Published
from wardwright.domain.errors import Conflict, NotFound, StorageUnavailable
from wardwright.runtime.catalog_calls import AddDraft, Drafted, Publish, Reload, Retire, RollBack, SetCanary
from wardwright.runtime.control import decide
from wardwright.runtime.tree import CATALOG, MODELS, STORAGE, model_path, sessions_path
from wardwright.storage.control import MemoryControlLog

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

LARGE = draft("local/large")


async def drafted(on: Rig, name: str, *targets: str) -> None:
    """Have a version of `m` under this label."""
    await on.ask(AddDraft("m", draft(*targets or ("local/large",), version=name)))


async def problems(on: Rig, request: Call[object]) -> list[str]:
    """What a request that must be refused is refused for."""
    with pytest.raises(ConfigError) as refused:
        await on.ask(request)
    return [str(problem) for problem in refused.value.problems]


class TestDraft:
    async def test_a_draft_is_kept_and_serves_nobody(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            answer = await on.ask(AddDraft("m", LARGE))
            assert answer.is_new
            assert answer.version.startswith("sha256:")
            assert on.active() == {"m": "v1"}
            assert [t.id for t in on.versions.definition("m", answer.version).targets] == ["local/large"]

    async def test_the_same_content_is_one_version(self, tmp_path: Path) -> None:
        async with rig(tmp_path) as on:
            first = await on.ask(AddDraft("m", LARGE))
            again = await on.ask(AddDraft("m", {**LARGE, "description": "", "id": "m"}))
            assert again == Drafted(first.version, is_new=False)

    async def test_a_label_never_comes_to_name_another_content(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            with pytest.raises(Conflict, match="'v1' of 'm' is already there with other content"):
                await on.ask(AddDraft("m", {**LARGE, "version": "v1"}))

    async def test_a_draft_of_a_new_name_makes_a_model_that_is_not_served(self, tmp_path: Path) -> None:
        async with rig(tmp_path) as on:
            answer = await on.ask(AddDraft("new", LARGE))
            assert on.history("new").active is None
            assert "new" not in on.active()
            await on.ask(Publish("new", answer.version))
            assert on.active()["new"] == answer.version

    async def test_a_version_keeps_the_targets_it_was_made_with(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            answer = await on.ask(AddDraft("m", LARGE))
            on.write(model("m", version="v1"), head=HEAD.replace("32768", "65536"))
            await on.ask(Reload())
            assert on.versions.definition("m", answer.version).targets[0].context_window == 32768

    async def test_a_draft_may_bring_its_own_targets(self, tmp_path: Path) -> None:
        own = {"id": "local/own", "provider": "local", "context_window": 10}
        async with rig(tmp_path) as on:
            answer = await on.ask(AddDraft("m", {**draft("local/own", "local/small"), "targets": [own]}))
            windows = [target.context_window for target in on.versions.definition("m", answer.version).targets]
            assert windows == [10, 8192]

    async def test_all_that_is_wrong_is_said_at_once(self, tmp_path: Path) -> None:
        own = {"id": "x", "provider": "nobody", "context_window": 0}
        wrong = {**draft("local/smal"), "id": "other", "max_attempts": "many", "colour": "red", "targets": [own]}
        async with rig(tmp_path) as on:
            found = await problems(on, AddDraft("m", wrong))
            assert [line.split(":")[0] for line in found] == [
                *("max_attempts", "colour", "targets.x.context_window", "targets.x.provider"),
                "cascades.in-order.models[0]",
            ]
            assert on.history().versions.keys() == on.history().versions.keys()

    async def test_an_artifact_of_another_model_is_refused(self, tmp_path: Path) -> None:
        async with rig(tmp_path) as on:
            assert await problems(on, AddDraft("m", {**LARGE, "id": "n"})) == [
                'id: expected "m", the model that is drafted, got "n"'
            ]


class TestPublish:
    async def test_it_swaps_the_board_in_one_step_and_touches_no_other_model(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1"), model("other", version="o1")) as on:
            await drafted(on, "v2")
            before, actors = on.board.models, {path: on.system.whereis(path) for path in (MODELS, model_path("other"))}
            await on.ask(Publish("m", "v2"))
            assert on.active() == {"m": "v2", "other": "o1"}
            assert before["m"].definition.version == "v1", "who holds the earlier board goes on by it"
            assert on.board.models["other"] is before["other"]
            assert {path: on.system.whereis(path) for path in actors} == actors

    async def test_a_models_own_sessions_stay(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            await drafted(on, "v2")
            before = on.system.whereis(sessions_path("m"))
            await on.ask(Publish("m", "v2"))
            assert on.system.whereis(sessions_path("m")) == before

    @pytest.mark.parametrize(
        "request_",
        [Publish("none", "v1"), Publish("m", "v9"), SetCanary("m", "v9", 10), RollBack("none"), Retire("none")],
        ids=str,
    )
    async def test_what_does_not_exist_is_not_found(self, tmp_path: Path, request_: Call[None]) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            with pytest.raises(NotFound) as caught:
                await on.ask(request_)
            assert caught.value.code in ("model_not_found", "version_not_found")

    async def test_publishing_what_answers_already_changes_nothing(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            await on.ask(Publish("m", "v1"))
            assert on.steps() == ["added v1", "published v1"]

    async def test_who_says_what_they_replace_is_told_when_it_is_something_else(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            await drafted(on, "v2")
            await drafted(on, "v3", "local/small", "local/large")
            await on.ask(Publish("m", "v2", instead_of="v1"))
            with pytest.raises(Conflict, match="'m' answers with 'v2' by now, not with 'v1'"):
                await on.ask(Publish("m", "v3", instead_of="v1"))
            assert on.active() == {"m": "v2"}

    async def test_two_at_once_take_turns_and_the_last_one_counts(self, tmp_path: Path) -> None:
        log = MemoryControlLog()
        async with rig(tmp_path, model("m", version="v1"), log=log) as on:
            await drafted(on, "v2")
            await drafted(on, "v3", "local/small", "local/large")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(on.ask, Publish("m", "v2"))
                tasks.start_soon(on.ask, Publish("m", "v3"))
            assert set(on.steps()[-2:]) == {"published v2", "published v3"}
            assert on.active() == {"m": on.steps()[-1].removeprefix("published ")}

    async def test_of_two_at_once_that_replace_the_same_one_is_refused(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            await drafted(on, "v2")
            await drafted(on, "v3", "local/small", "local/large")
            outcomes: list[str] = []

            async def publish(version: str) -> None:
                try:
                    await on.ask(Publish("m", version, instead_of="v1"))
                    outcomes.append("published")
                except Conflict:
                    outcomes.append("refused")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(publish, "v2")
                tasks.start_soon(publish, "v3")
            assert sorted(outcomes) == ["published", "refused"]

    async def test_a_provider_that_is_not_there_any_more_is_a_reason_to_refuse(self, tmp_path: Path) -> None:
        spare = HEAD + '\n[[providers]]\nid = "spare"\nkind = "canned"\noutputs = ["x"]\n'
        own = {"id": "spare/x", "provider": "spare", "context_window": 10}
        async with rig(tmp_path, model("m", version="v1"), head=spare) as on:
            await on.ask(AddDraft("m", {**draft("spare/x", version="v2"), "targets": [own]}))
            on.write(model("m", version="v1"))
            await on.ask(Reload())
            assert await problems(on, Publish("m", "v2")) == [
                'models.m: version "v2" asks the provider "spare", which the configuration does not have'
            ]
            assert on.active() == {"m": "v1"}

    async def test_a_disk_that_fails_leaves_everything_as_it_was(self, tmp_path: Path) -> None:
        log = FailingLog()
        async with rig(tmp_path, model("m", version="v1"), log=log) as on:
            await drafted(on, "v2")
            log.fails = True
            with pytest.raises(StorageUnavailable):
                await on.ask(Publish("m", "v2"))
            assert on.active() == {"m": "v1"}
            log.fails = False
            await on.ask(Publish("m", "v2"))
            assert on.active() == {"m": "v2"}

    async def test_vocabularies_are_read_before_anybody_needs_them(self, tmp_path: Path) -> None:
        own = {"id": "local/own", "provider": "local", "context_window": 10, "tokenizer": "o200k_base"}
        async with rig(tmp_path) as on:
            answer = await on.ask(AddDraft("m", {**draft("local/own"), "targets": [own]}))
            assert on.counter.loaded == []
            await on.ask(Publish("m", answer.version))
            assert on.counter.loaded == ["o200k_base"]

    async def test_a_request_it_does_not_know_is_refused(self, tmp_path: Path) -> None:
        class Odd(Call[None]):
            pass

        async with rig(tmp_path) as on:
            with pytest.raises(UnexpectedRequest):
                await on.ask(Odd())


class FailingLog(MemoryControlLog):
    """A control log on a disk that can be full."""

    fails = False

    def append(self, entries: object) -> None:
        if self.fails:
            raise StorageUnavailable("the disk is full")
        super().append(entries)  # type: ignore[arg-type]


class TestCanary:
    async def test_it_takes_a_share_and_leaves_the_rest(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            await drafted(on, "v2")
            await on.ask(SetCanary("m", "v2", 25))
            served = [on.board.route("m", f"s{n}", lambda below: 0).composition.root.version for n in range(400)]
            assert 70 < served.count("v2") < 130
            assert on.active() == {"m": "v1"}

    async def test_growing_it_keeps_the_sessions_it_has(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            await drafted(on, "v2")

            def taken() -> set[int]:
                routes = {n: on.board.route("m", f"s{n}", lambda below: 0) for n in range(200)}
                return {n for n, route in routes.items() if route.composition.root.version == "v2"}

            await on.ask(SetCanary("m", "v2", 10))
            few = taken()
            await on.ask(SetCanary("m", "v2", 40))
            assert few < taken()

    async def test_of_nothing_it_ends(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            await drafted(on, "v2")
            await on.ask(SetCanary("m", "v2", 25))
            await on.ask(SetCanary("m", "v2", 0))
            await on.ask(SetCanary("m", "v2", 0))
            assert on.history().canary is None
            assert on.board.models["m"].trials == ()
            assert on.steps()[-1] == "canary_ended v2"

    async def test_published_it_is_no_canary_any_more(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            await drafted(on, "v2")
            await on.ask(SetCanary("m", "v2", 25))
            await on.ask(Publish("m", "v2"))
            assert (on.active(), on.history().canary) == ({"m": "v2"}, None)

    async def test_it_needs_another_version_beside_it(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            with pytest.raises(Conflict, match="a canary is another version"):
                await on.ask(SetCanary("m", "v1", 10))
            answer = await on.ask(AddDraft("new", LARGE))
            with pytest.raises(Conflict, match="no published version"):
                await on.ask(SetCanary("new", answer.version, 10))


class TestRollback:
    async def test_it_publishes_what_was_published_before(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            await drafted(on, "v2")
            await on.ask(Publish("m", "v2"))
            await on.ask(RollBack("m"))
            assert on.active() == {"m": "v1"}
            assert on.steps()[-1] == "rolled_back v1"

    async def test_while_a_canary_runs_it_ends_that_and_leaves_the_rest(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            await drafted(on, "v2")
            await drafted(on, "v3", "local/small", "local/large")
            await on.ask(Publish("m", "v2"))
            await on.ask(SetCanary("m", "v3", 10))
            await on.ask(RollBack("m", undo="v3"))
            assert (on.active(), on.history().canary) == ({"m": "v2"}, None)
            await on.ask(RollBack("m", undo="v2"))
            assert on.active() == {"m": "v1"}

    async def test_who_says_what_they_undo_is_told_when_it_is_something_else(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            await drafted(on, "v2")
            await on.ask(Publish("m", "v2"))
            await on.ask(RollBack("m", undo="v2"))
            with pytest.raises(Conflict, match="the last step of 'm' is 'v1' by now, not 'v2'"):
                await on.ask(RollBack("m", undo="v2"))

    async def test_before_the_first_version_there_is_none(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            with pytest.raises(Conflict, match="first version"):
                await on.ask(RollBack("m"))
            await on.ask(AddDraft("new", LARGE))
            with pytest.raises(Conflict, match="not served"):
                await on.ask(RollBack("new"))


class TestRetire:
    async def test_a_retired_model_is_gone_from_the_board_and_the_tree(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1"), model("other")) as on:
            await on.ask(Retire("m"))
            assert set(on.active()) == on.in_tree() == {"other"}
            assert "v1" in on.history().versions
            with pytest.raises(Conflict, match="not served"):
                await on.ask(Retire("m"))

    async def test_published_again_it_is_back(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            await on.ask(Retire("m"))
            await on.ask(Publish("m", "v1"))
            assert set(on.active()) == on.in_tree() == {"m"}


class TestCrash:
    @pytest.mark.parametrize("after_s", [0.0, 0.5, 1.5])
    async def test_killed_in_the_middle_of_a_publish_it_shows_whatever_was_decided(
        self, tmp_path: Path, threads: InlineThreads, after_s: float
    ) -> None:
        async with rig(tmp_path, model("m", version="v1"), model("other", version="o1")) as on:
            await drafted(on, "v2")
            outcome: list[BaseException | None] = []

            async def publish() -> None:
                try:
                    await on.ask(Publish("m", "v2"))
                    outcome.append(None)
                except ActorDown as down:
                    outcome.append(down)

            threads.takes_s = 1.0
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(publish)
                await anyio.sleep(after_s)
                on.kill()
                assert on.active()["other"] == "o1", "a killed catalog goes on serving"
            await anyio.sleep(5)
            decided = on.history().active
            assert decided is not None
            assert on.active() == {"m": decided.version, "other": "o1"}
            if outcome == [None]:
                assert decided.version == "v2"

    async def test_a_decision_that_lands_late_is_shown_all_the_same(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            await drafted(on, "v2")
            await decide(on.system.named(STORAGE), Published("m", "v2", "admin"))
            await settle()
            assert on.active() == {"m": "v2"}

    async def test_a_branch_that_restarts_comes_back_with_what_is_served_now(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            answer = await on.ask(AddDraft("new", LARGE))
            await on.ask(Publish("new", answer.version))
            on.kill(MODELS)
            await settle()
            assert on.in_tree() == {"m", "new"}

    async def test_after_a_crash_it_still_follows_the_configuration_that_was_loaded_last(self, tmp_path: Path) -> None:
        async with rig(tmp_path, model("m", version="v1")) as on:
            on.write(model("m", "local/large", version="v2"))
            await on.ask(Reload())
            on.kill()
            await settle()
            assert on.active() == {"m": "v2"}
            assert on.steps()[-1] == "published v2"
            assert len(on.events.of(CrashReport)) == 0


class TestRestart:
    async def test_history_and_canary_survive_it(self, tmp_path: Path) -> None:
        log = MemoryControlLog()
        async with rig(tmp_path, model("m", version="v1"), log=log) as on:
            await drafted(on, "v2")
            await drafted(on, "v3", "local/small", "local/large")
            await on.ask(Publish("m", "v2"))
            await on.ask(SetCanary("m", "v3", 10))
            before = on.history()
        async with rig(tmp_path, model("m", version="v1"), log=log) as on:
            assert on.history() == before
            assert on.active() == {"m": "v2"}
            assert [trial.definition.version for trial in on.board.models["m"].trials] == ["v3"]

    async def test_a_label_that_now_names_other_content_refuses_the_start(self, tmp_path: Path) -> None:
        log = MemoryControlLog()
        async with rig(tmp_path, model("m", version="v1"), log=log):
            pass
        with pytest.raises(StartFailed) as refused:
            async with rig(tmp_path, model("m", "local/large", version="v1"), log=log):
                pass
        cause: object = refused.value
        while isinstance(cause, StartFailed):
            cause = cause.reason.error or cause.reason.detail
        assert isinstance(cause, ConfigError)
        assert str(cause.problems[0]).startswith(
            'models.m.version: expected a version that names this content, got "v1"'
        )

    async def test_a_published_version_whose_provider_has_gone_is_reported_and_the_others_serve(
        self, tmp_path: Path
    ) -> None:
        spare = HEAD + '\n[[providers]]\nid = "spare"\nkind = "canned"\noutputs = ["x"]\n'
        own = {"id": "spare/x", "provider": "spare", "context_window": 10}
        log = MemoryControlLog()
        async with rig(tmp_path, head=spare, log=log) as on:
            await on.ask(AddDraft("new", {**draft("spare/x", version="n1"), "targets": [own]}))
            await on.ask(Publish("new", "n1"))
        async with rig(tmp_path, log=log) as on:
            assert set(on.active()) == {"m", "new"}
            await on.ask(AddDraft("m", LARGE))
            await on.ask(Publish("m", next(iter(on.history().versions))))


async def test_it_shows_the_active_versions(tmp_path: Path) -> None:
    async with rig(tmp_path, model("m", version="v1")) as on:
        ref = on.system.whereis(CATALOG)
        assert ref is not None
        assert ref.info().details == {"active_versions": {"m": "v1"}, "broken": {}, "config": str(on.file)}

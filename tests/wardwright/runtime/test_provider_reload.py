"""Providers that come, change and go while the daemon runs: nobody is ever without an adapter, and nobody's answer is cut."""

from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from supervisors import ActorDown, System
from supervisors.testing import settle
from tests.wardwright.runtime.catalog_rig import HEAD, Rig, model, rig
from tests.wardwright.runtime.conftest import Logs
from tests.wardwright.runtime.stage import InlineThreads
from tests.wardwright.runtime.test_catalog import FailingLog
from wardwright.config.problems import ConfigError
from wardwright.config.settings import CannedSettings
from wardwright.domain.errors import StorageUnavailable
from wardwright.runtime.catalog_calls import Reload
from wardwright.runtime.tree import PROVIDERS

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("threads")]

LLAMA = """
[[providers]]
id = "own"
kind = "llama-cpp"
model_path = "/models/none.gguf"
context_window = {window}
timeouts = {{ idle = {idle} }}
"""


def canned(name: str, answer: str = "x") -> str:
    return f'\n[[providers]]\nid = "{name}"\nkind = "canned"\noutputs = ["{answer}"]\n'


def llama(window: int = 2048, idle: int = 30) -> str:
    return LLAMA.format(window=window, idle=idle)


def children(system: System) -> set[str]:
    node = system.tree().find(PROVIDERS)
    assert node is not None
    return {child.id for child in node.children if child.status == "running"}


async def reload(on: Rig, head: str) -> None:
    on.write(model("m"), head=head)
    await on.ask(Reload())
    await settle()


async def test_a_new_provider_is_there_before_any_model_that_asks_it(tmp_path: Path) -> None:
    target = '\n[[targets]]\nid = "new/x"\nprovider = "new"\ncontext_window = 10\n'
    async with rig(tmp_path) as on:
        seen: list[bool] = []
        on.board.replace = lambda *models: seen.append("new" in on.providers.slots())  # type: ignore[method-assign]
        on.write(model("m", "new/x"), head=HEAD + canned("new") + target)
        await on.ask(Reload())
        assert seen == [True]
        assert children(on.system) == {"local", "new"}


async def test_a_changed_provider_swaps_its_adapter_and_what_is_under_way_ends_on_the_old_one(tmp_path: Path) -> None:
    async with rig(tmp_path) as on:
        actor, lease = on.system.whereis(f"{PROVIDERS}/local"), on.providers.lease("local")
        await reload(on, HEAD.replace("hello", "good day"))
        assert on.providers.slots()["local"] is not lease
        assert on.system.whereis(f"{PROVIDERS}/local") == actor, "the actor goes on; nobody finds it missing"
        assert not lease.closed.is_set()
        await lease.release()
        assert lease.closed.is_set()


async def test_an_unchanged_provider_keeps_its_adapter(tmp_path: Path) -> None:
    async with rig(tmp_path) as on:
        before = on.providers.slots()["local"]
        await reload(on, HEAD + canned("new"))
        assert on.providers.slots()["local"] is before


async def test_a_removed_provider_is_gone_when_its_last_attempt_has_ended(tmp_path: Path) -> None:
    async with rig(tmp_path, head=HEAD + canned("old")) as on:
        lease = on.providers.lease("old")
        await reload(on, HEAD)
        assert children(on.system) == {"local"}
        assert "old" not in on.providers.slots()
        assert not lease.closed.is_set()
        await lease.release()
        assert lease.closed.is_set()


async def test_after_a_crash_a_provider_comes_back_as_it_is_wanted_now(tmp_path: Path) -> None:
    async with rig(tmp_path) as on:
        await reload(on, HEAD.replace("hello", "good day") + canned("new"))
        on.kill(f"{PROVIDERS}/local")
        await settle()
        settings = on.providers.slots()["local"].settings
        assert isinstance(settings, CannedSettings)
        assert settings.outputs == ("good day",)
        on.kill(PROVIDERS)
        await settle()
        assert children(on.system) == {"local", "new"}


async def test_another_model_server_starts_beside_the_old_one_which_leaves_with_its_last_attempt(
    tmp_path: Path,
) -> None:
    async with rig(tmp_path, head=HEAD + llama()) as on:
        lease = on.providers.lease("own")
        await reload(on, HEAD + llama(window=4096))
        assert children(on.system) == {"local", "own", "own.server", "own.2.server"}
        await reload(on, HEAD + llama(window=4096) + canned("new"))
        assert "own.server" in children(on.system), "another reload does not hurry it"
        await lease.release()
        await settle()
        assert children(on.system) == {"local", "own", "own.2.server", "new"}


async def test_a_model_server_that_still_fits_is_kept(tmp_path: Path) -> None:
    async with rig(tmp_path, head=HEAD + llama()) as on:
        server = on.system.whereis(f"{PROVIDERS}/own.server")
        before = on.providers.slots()["own"]
        await reload(on, HEAD + llama(idle=7))
        assert on.providers.slots()["own"] is not before
        assert on.system.whereis(f"{PROVIDERS}/own.server") == server


async def test_a_removed_model_server_leaves_with_its_last_attempt(tmp_path: Path) -> None:
    async with rig(tmp_path, head=HEAD + llama()) as on:
        lease = on.providers.lease("own")
        await reload(on, HEAD)
        assert children(on.system) == {"local", "own.server"}
        await lease.release()
        await settle()
        assert children(on.system) == {"local"}


@pytest.mark.parametrize("after_s", [0.5, 1.5, 2.5, 3.5])
async def test_killed_in_the_middle_of_a_reload_it_goes_back_or_forward_but_not_astray(
    tmp_path: Path, threads: InlineThreads, after_s: float
) -> None:
    async with rig(tmp_path, model("m", version="v1"), head=HEAD + canned("old")) as on:
        on.write(model("m", "local/large", version="v2"), head=HEAD.replace("hello", "good day") + canned("new"))

        async def once() -> None:
            with suppress(ActorDown):
                await on.ask(Reload())

        threads.takes_s = 1.0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(once)
            await anyio.sleep(after_s)
            on.kill()
        await anyio.sleep(10)
        is_new = on.config.loaded.settings.models[0].version == "v2"
        assert on.active() == {"m": "v2" if is_new else "v1"}
        assert children(on.system) == ({"local", "new"} if is_new else {"local", "old"})
        settings = on.providers.slots()["local"].settings
        assert isinstance(settings, CannedSettings)
        assert settings.outputs == (("good day",) if is_new else ("hello",))


async def test_a_disk_that_fails_leaves_providers_as_they_were(tmp_path: Path) -> None:
    log = FailingLog()
    async with rig(tmp_path, model("m", version="v1"), log=log) as on:
        log.fails = True
        on.write(model("m", "local/large", version="v2"), head=HEAD.replace("hello", "good day") + canned("new"))
        with pytest.raises(StorageUnavailable):
            await on.ask(Reload())
        await settle()
        assert children(on.system) == {"local"}
        assert on.active() == {"m": "v1"}
        log.fails = False
        await on.ask(Reload())
        await settle()
        assert (on.active(), children(on.system)) == ({"m": "v2"}, {"local", "new"})


async def test_what_was_followed_and_what_waits_for_a_restart_is_logged(tmp_path: Path, logs: Logs) -> None:
    async with rig(tmp_path, head=HEAD + canned("old")) as on:
        await reload(on, HEAD.replace("hello", "good day") + canned("new") + "\n[server]\ndrain_seconds = 1\n")
        (told,) = [entry for entry in logs if entry["event"] == "the configuration is followed"]
        assert {key: told[key] for key in told if key.startswith("providers")} == {
            "providers_added": ["new"],
            "providers_changed": ["local"],
            "providers_removed": ["old"],
        }
        (waiting,) = [entry for entry in logs if entry["event"] == "these keys take effect at the next start"]
        assert waiting["keys"] == ["server.drain_seconds"]


async def test_every_problem_is_logged_and_everything_stays(tmp_path: Path, logs: Logs) -> None:
    async with rig(tmp_path) as on:
        before = dict(on.providers.slots())
        on.write(model("m", "nowhere"), head=HEAD.replace("canned", "caned"))
        with pytest.raises(ConfigError):
            await on.ask(Reload())
        problems = [entry["problem"] for entry in logs if entry["event"] == "a problem of the configuration"]
        assert len(problems) == 2
        assert on.providers.slots() == before

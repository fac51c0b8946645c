"""What another configuration changes beside the models."""

import msgspec

from wardwright.config.changes import ProviderChanges, keys_waiting, provider_changes
from wardwright.config.settings import CannedSettings, RuntimeSettings, ServerSettings, Settings, StorageSettings


def canned(name: str, answer: str = "x") -> CannedSettings:
    return CannedSettings(id=name, outputs=(answer,))


def test_keys_that_are_bound_at_the_start_are_named() -> None:
    running = Settings()
    wanted = Settings(
        server=ServerSettings(bind="127.0.0.1:1", drain_seconds=1),
        runtime=RuntimeSettings(backend="trio"),
        storage=StorageSettings(durability="none"),
        providers=(canned("a"),),
    )
    assert keys_waiting(running, wanted) == [
        *("server.bind", "server.drain_seconds", "runtime.backend", "storage.durability")
    ]
    assert keys_waiting(running, msgspec.structs.replace(running, providers=(canned("a"),))) == []


def test_providers_come_change_and_go() -> None:
    before = (canned("same"), canned("changed"), canned("gone"))
    after = (canned("new"), canned("changed", "other"), canned("same"))
    assert provider_changes(before, after) == ProviderChanges(("new",), ("changed",), ("gone",))
    assert provider_changes(before, before) == ProviderChanges((), (), ())

"""The defaults are those of the public contract's example."""

from wardwright.config.settings import CannedSettings, ModelSettings, OpenAICompatibleSettings, Settings


def test_the_daemons_own_defaults() -> None:
    settings = Settings()
    assert settings.server.bind == "127.0.0.1:8791"
    assert settings.server.admin_token_env == "WARDWRIGHT_ADMIN_TOKEN"
    assert settings.server.max_body_bytes == 33554432
    assert settings.server.drain_seconds == 30
    assert settings.runtime.backend == "asyncio"
    assert (settings.storage.kind, settings.storage.durability) == ("file", "strict")
    assert settings.storage.path == "~/.local/share/wardwright"


def test_a_providers_defaults() -> None:
    provider = OpenAICompatibleSettings(id="p", base_url="http://127.0.0.1/v1")
    timeouts, retry = provider.timeouts, provider.retry
    assert (timeouts.connect, timeouts.first_token, timeouts.idle, timeouts.total) == (5, 60, 30, 600)
    assert (retry.attempts, retry.base_ms, retry.max_ms, retry.max_wait_ms) == (2, 200, 5000, 5000)
    assert CannedSettings(id="c", outputs=("x",)).chunk_delay_ms == 0


def test_a_models_defaults() -> None:
    model = ModelSettings(id="m")
    assert (model.max_attempts, model.reveal, model.access.unkeyed, model.version) == (4, "model", "public", None)

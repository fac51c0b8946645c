"""Adapters as the settings ask for them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from supervisors import ChildSpec, Supervisor, System
from tests.support.calls import upstream_call
from tests.support.upstream import Upstream
from tests.wardwright.app.configs import CANNED, loaded
from tests.wardwright.receipts.receipt_samples import fallback_story, opened, sealed
from wardwright.app.parts import provider_part
from wardwright.app.storage import storage_of
from wardwright.config.settings import (
    AnthropicSettings,
    CannedSettings,
    LlamaCppSettings,
    OllamaSettings,
    OpenAICompatibleSettings,
    ProviderSettings,
    Settings,
    StorageSettings,
)
from wardwright.domain.control import KeyCreated
from wardwright.domain.errors import ProviderError
from wardwright.ports.provider import Provider, ProviderInfo
from wardwright.runtime.checkpointer import Append, Checkpointer, Logs, StoreBoard
from wardwright.runtime.control import ControlBoard, Decide
from wardwright.runtime.health import HealthBoard
from wardwright.runtime.ledger import Ledger
from wardwright.runtime.provider import ProviderBoard
from wardwright.runtime.tree import PROVIDERS
from wardwright.storage.file import FileReceiptStore

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

SETTINGS = Settings()


@asynccontextmanager
async def built(settings: ProviderSettings, *, of: Settings = SETTINGS) -> AsyncIterator[Provider]:
    """The adapter that a provider's actor builds."""
    board = ProviderBoard()
    part = provider_part(settings, of, board)
    children = [ChildSpec(part.id, part.actor)]
    if part.server is not None:
        children.append(ChildSpec(part.server.child_id, part.server.actor))
    async with System(PROVIDERS, Supervisor(children)):
        slot = board.lease(settings.id)
        assert slot.settings is settings
        try:
            yield slot.provider
        finally:
            await slot.release()


def compatible(
    url: str, *, credential_env: str | None = None, credential_file: str | None = None
) -> OpenAICompatibleSettings:
    return OpenAICompatibleSettings(
        id="up", base_url=url, credential_env=credential_env, credential_file=credential_file
    )


class TestProviders:
    async def test_a_canned_one_answers_from_its_outputs(self) -> None:
        async with built(CannedSettings(id="demo", outputs=("fine",), chunk_delay_ms=1)) as provider:
            assert provider.info == ProviderInfo("demo", "canned", demo=True)
            completion = await provider.complete(upstream_call())
            assert b"fine" in bytes(completion.fields["choices"])

    async def test_a_compatible_one_asks_its_server_without_a_credential_where_none_is_named(self) -> None:
        with Upstream() as upstream:
            async with built(compatible(upstream.url)) as provider:
                assert (provider.info.kind, provider.info.credential_source) == ("openai-compatible", "none")
                assert provider.info.base_url == upstream.url
                await provider.complete(upstream_call())
            assert "authorization" not in upstream.calls[0].headers

    async def test_an_ollama_is_asked_over_its_own_api(self) -> None:
        with Upstream() as upstream:
            async with built(OllamaSettings(id="up", base_url=upstream.url)) as provider:
                assert (provider.info.kind, provider.info.base_url) == ("ollama", upstream.url)
                await provider.complete(upstream_call("ollama-ok"))
            assert upstream.calls[0].path == "/api/chat"

    async def test_a_messages_api_is_asked_with_its_own_header_and_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLAUDE_KEY", "secret")
        with Upstream() as upstream:
            settings = AnthropicSettings(id="up", base_url=upstream.url, credential_env="CLAUDE_KEY")
            async with built(settings) as provider:
                assert (provider.info.kind, provider.info.credential_source) == ("anthropic", "env")
                await provider.complete(upstream_call("anthropic-ok"))
            assert upstream.calls[0].headers["x-api-key"] == "secret"
            assert upstream.calls[0].json["max_tokens"] == settings.default_max_tokens

    async def test_a_credential_is_read_from_its_variable_at_every_call(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Upstream() as upstream:
            async with built(compatible(upstream.url, credential_env="LOCAL_KEY")) as provider:
                assert provider.info.credential_source == "env"
                for secret in ("first", " rotated\n"):
                    monkeypatch.setenv("LOCAL_KEY", secret)
                    await provider.complete(upstream_call())
            assert [call.headers["authorization"] for call in upstream.calls] == ["Bearer first", "Bearer rotated"]

    async def test_a_credential_is_read_from_its_file_at_every_call(self, tmp_path: Path) -> None:
        file = tmp_path / "key"
        with Upstream() as upstream:
            async with built(compatible(upstream.url, credential_file=str(file))) as provider:
                assert provider.info.credential_source == "file"
                for secret in ("first", "rotated\n"):
                    file.write_text(secret, encoding="utf-8")
                    await provider.complete(upstream_call())
            assert [call.headers["authorization"] for call in upstream.calls] == ["Bearer first", "Bearer rotated"]

    @pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"], ids=["no file", "empty", "blank", "no text"])
    async def test_a_credential_that_cannot_be_had_is_a_failure_of_authentication(
        self, tmp_path: Path, content: bytes | None
    ) -> None:
        file = tmp_path / "key"
        if content is not None:
            file.write_bytes(content)
        with Upstream() as upstream:
            async with built(compatible(upstream.url, credential_file=str(file))) as provider:
                with pytest.raises(ProviderError, match="credential of 'up'") as caught:
                    await provider.complete(upstream_call())
            assert upstream.calls == []
        assert caught.value.failure.failure_class == "auth"
        assert str(file) in caught.value.message

    async def test_a_variable_that_is_not_set_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LOCAL_KEY", raising=False)
        async with built(compatible("http://127.0.0.1:1", credential_env="LOCAL_KEY")) as provider:
            with pytest.raises(ProviderError, match="LOCAL_KEY is empty") as caught:
                await provider.complete(upstream_call())
        assert caught.value.failure.failure_class == "auth"

    async def test_a_local_model_has_a_server_of_its_own_which_is_asked_for_when_it_is_needed(
        self, tmp_path: Path
    ) -> None:
        settings = Settings(storage=StorageSettings(path=str(tmp_path)))
        own = LlamaCppSettings(id="local", context_window=2048, model_path=str(tmp_path / "none.gguf"))
        async with built(own, of=settings) as provider:
            assert provider.info == ProviderInfo("local", "llama-cpp")
            with pytest.raises(ProviderError, match="server of 'local'") as caught:
                await provider.complete(upstream_call())
        assert caught.value.failure.failure_class == "connect"

    def test_only_a_local_model_has_a_server(self) -> None:
        board = ProviderBoard()
        local = LlamaCppSettings(id="local", context_window=2048, weights="smollm2")
        assert provider_part(local, SETTINGS, board).server is not None
        assert provider_part(CannedSettings(id="demo", outputs=("x",)), SETTINGS, board).server is None
        assert provider_part(compatible("http://127.0.0.1:1"), SETTINGS, board).server is None


class TestStores:
    def test_the_file_store_is_as_durable_as_configured(self, tmp_path: Path) -> None:
        for durability, is_durable in (("strict", True), ("batched", False)):
            text = CANNED + f'[storage]\ndurability = "{durability}"\n'
            store = storage_of(loaded(tmp_path, text).settings).open()
            assert isinstance(store, FileReceiptStore)
            assert store.health().durable == is_durable
            assert store.health().path == str(tmp_path / "data" / "receipts")
            store.close()

    @pytest.mark.parametrize("kind", ["memory", "file"])
    async def test_a_checkpointer_that_restarts_goes_on_with_its_receipts(self, tmp_path: Path, kind: str) -> None:
        settings = loaded(tmp_path, CANNED + f'[storage]\nkind = "{kind}"\n').settings
        storage = storage_of(settings)
        logs = Logs(storage.open, storage.open_control)
        board, control = StoreBoard(), ControlBoard()
        start = partial(
            Checkpointer,
            logs,
            board=board,
            control=control,
            ledger=Ledger(now=lambda: 0.0),
            health=HealthBoard(),
            boot="boot-1",
            now=lambda: 0.0,
        )
        async with System("test", Supervisor([ChildSpec("storage", start)])) as system:
            writer = system.named("test/storage")
            await writer.call(Append(tuple(sealed(fallback_story(), receipt_id="rcpt_1"))))
            for number in range(2, 4):
                ref = writer.resolve()
                assert ref is not None
                ref.kill()
                await writer.call(Append(tuple(sealed([opened()], receipt_id=f"rcpt_{number}"))))
                await writer.call(Decide((KeyCreated(f"key_{number}", "m", "label", "wwk_1", "hash"),)))

            board.store.check_writable()
            health = board.store.health()
            assert (health.receipt_count, health.open_count) == (3, 2)
            assert list(control.state.keys) == ["key_2", "key_3"]

    def test_two_daemons_in_memory_do_not_share_receipts(self, tmp_path: Path) -> None:
        settings = loaded(tmp_path, CANNED + '[storage]\nkind = "memory"\n').settings
        one, other = storage_of(settings).open(), storage_of(settings).open()
        one.append(sealed(fallback_story()))
        assert (one.health().receipt_count, other.health().receipt_count) == (1, 0)

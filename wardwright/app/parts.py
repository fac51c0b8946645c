"""Adapters from settings: providers with their model servers."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from supervisors import System
from wardwright.app.files import data_dir
from wardwright.config.inline import MockSettings, SequenceSettings
from wardwright.config.settings import (
    AnthropicSettings,
    CannedSettings,
    LlamaCppSettings,
    OllamaSettings,
    OpenAICompatibleSettings,
    ProviderBase,
    RemoteSettings,
    Settings,
)
from wardwright.domain.errors import Failure, ProviderError
from wardwright.ports.provider import Provider, ProviderInfo
from wardwright.ports.server import ServerSpec
from wardwright.providers.anthropic import AnthropicProvider
from wardwright.providers.canned import CannedProvider
from wardwright.providers.llama_cpp import LlamaCppProvider, server_command
from wardwright.providers.ollama import OllamaProvider
from wardwright.providers.openai_compatible import OpenAICompatibleProvider
from wardwright.providers.scripted import MockProvider, SequenceProvider
from wardwright.providers.transport import Transport, TransportOptions, make_transport
from wardwright.providers.weights import find_weights
from wardwright.runtime.provider import ProviderActor, ProviderBoard, Refit
from wardwright.runtime.roster import ProviderPart, ServerPart
from wardwright.runtime.server_process import ServerMemory, ServerProcess, SupervisedServer
from wardwright.runtime.tree import server_path


def provider_part(
    provider: ProviderBase, settings: Settings, board: ProviderBoard, before: ProviderPart | None = None
) -> ProviderPart:
    """The actors of one provider. `before` is what it was so far; a server that still fits is kept."""
    build: Callable[[System], Provider]
    server: ServerPart | None = None
    match provider:
        case CannedSettings():
            build = partial(_canned, provider)
        case OpenAICompatibleSettings():
            build = partial(_openai_compatible, provider)
        case AnthropicSettings():
            build = partial(_anthropic, provider)
        case OllamaSettings():
            build = partial(_ollama, provider)
        case LlamaCppSettings():
            server = _server_part(provider, data_dir(settings), None if before is None else before.server)
            build = partial(_llama_cpp, provider, server.spec)
        case MockSettings():
            build = partial(_mock, provider)
        case SequenceSettings():
            build = partial(_sequence, provider)
        case _:
            raise TypeError(f"there is no adapter for a provider of type {type(provider).__name__}")
    actor = partial(ProviderActor, provider, build=build, board=board)
    return ProviderPart(provider.id, actor, server, Refit(provider, build))


def _canned(provider: CannedSettings, _: System) -> Provider:
    return CannedProvider(provider.id, provider.outputs, chunk_delay_s=provider.chunk_delay_ms / 1000)


def _mock(provider: MockSettings, _: System) -> Provider:
    return MockProvider(provider.id)


def _sequence(provider: SequenceSettings, _: System) -> Provider:
    return SequenceProvider(provider.id, provider.scripts)


def _openai_compatible(provider: OpenAICompatibleSettings, _: System) -> Provider:
    info = _remote_info(provider, "openai-compatible")
    return OpenAICompatibleProvider(
        info, _transport(provider), provider.base_url, partial(_credential, provider), prefill=provider.prefill
    )


def _anthropic(provider: AnthropicSettings, _: System) -> Provider:
    return AnthropicProvider(
        _remote_info(provider, "anthropic"),
        _transport(provider),
        provider.base_url,
        partial(_credential, provider),
        default_max_tokens=provider.default_max_tokens,
    )


def _ollama(provider: OllamaSettings, _: System) -> Provider:
    info = _remote_info(provider, "ollama")
    return OllamaProvider(info, _transport(provider), provider.base_url, partial(_credential, provider))


def _remote_info(provider: RemoteSettings, kind: str) -> ProviderInfo:
    source = "env" if provider.credential_env else "file" if provider.credential_file else "none"
    return ProviderInfo(provider.id, kind, base_url=provider.base_url, credential_source=source)


def _llama_cpp(provider: LlamaCppSettings, spec: ServerSpec, system: System) -> Provider:
    server = SupervisedServer(system.named(server_path(spec)), spec)
    return LlamaCppProvider(ProviderInfo(provider.id, "llama-cpp"), _transport(provider), server)


def _transport(provider: ProviderBase) -> Transport:
    return make_transport(TransportOptions(connect_timeout_s=provider.timeouts.connect))


def _credential(provider: RemoteSettings) -> str | None:
    """Read at every call, so that a rotated secret needs no restart. Raises: ProviderError of class `auth`."""
    if provider.credential_env is not None:
        value = os.environ.get(provider.credential_env, "").strip()
        where = f"the environment variable {provider.credential_env}"
    elif provider.credential_file is not None:
        where = f"the file {provider.credential_file}"
        try:
            value = Path(provider.credential_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ProviderError(
                Failure("auth", f"the credential of {provider.id!r} cannot be read from {where}")
            ) from error
    else:
        return None
    if not value:
        raise ProviderError(Failure("auth", f"the credential of {provider.id!r} is missing: {where} is empty"))
    return value


def _server_part(provider: LlamaCppSettings, folder: Path, before: ServerPart | None) -> ServerPart:
    """The server for a provider; another one has another name, since it starts before the one so far has finished."""
    made_for = (provider.weights, provider.model_path, provider.context_window, provider.threads)
    if before is not None and before.made_for == made_for:
        return before
    generation = 1 if before is None else before.generation + 1
    name = provider.id if generation == 1 else f"{provider.id}.{generation}"
    spec = _server_spec(name, provider, folder)
    return ServerPart(spec, partial(ServerProcess, spec, ServerMemory()), made_for, generation)


def _server_spec(name: str, provider: LlamaCppSettings, folder: Path) -> ServerSpec:
    if provider.model_path is not None:
        model = Path(provider.model_path)
    else:
        weights = provider.weights or ""
        model = find_weights(weights, folder) or folder / "models" / weights
    return server_command(name, model, context_window=provider.context_window, threads=provider.threads)

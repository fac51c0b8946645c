"""What `wardwright init` looks for on a machine: a local Ollama, keys of hosted providers, the means to run the small local model.

Looking sends nothing but one read to the local Ollama, and no key leaves its variable.
"""

import importlib.util
from collections.abc import Mapping
from typing import get_args
from urllib.parse import urlsplit

import httpx2
import msgspec

from wardwright.config.defaults import CredentialName, Discovered, OllamaModel

OLLAMA_VARIABLE = "OLLAMA_HOST"

_OLLAMA_PORT = 11434
_OLLAMA_TIMEOUT_S = 1.0
_LOCAL_MODEL_ENGINE = "xllamacpp"


class _Details(msgspec.Struct):
    family: str = ""


class _Tag(msgspec.Struct):
    name: str
    details: _Details | None = None
    remote_host: str = ""


class _Tags(msgspec.Struct):
    models: list[_Tag] | None = None


def discover(environ: Mapping[str, str], *, weights_present: bool) -> Discovered:
    """Look around. Absence of anything is an answer, never an error.

    The small local model is offered when its weights are there, or when there is nothing better and it could be run.
    """
    ollama_url = ollama_base_url(environ)
    ollama_models = _ollama_models(ollama_url)
    names: tuple[CredentialName, ...] = get_args(CredentialName)
    credentials = frozenset(name for name in names if environ.get(name))
    is_runnable = importlib.util.find_spec(_LOCAL_MODEL_ENGINE) is not None
    is_needed = not ollama_models and not credentials
    return Discovered(
        ollama_base_url=ollama_url,
        ollama_models=ollama_models,
        credentials=credentials,
        embedded_weights=is_runnable and (weights_present or is_needed),
    )


def ollama_base_url(environ: Mapping[str, str]) -> str:
    """Where Ollama's own variable says it is, which may leave out scheme and port; an address to listen on becomes one to ask."""
    default = f"http://127.0.0.1:{_OLLAMA_PORT}"
    named = environ.get(OLLAMA_VARIABLE, "").strip()
    try:
        parts = urlsplit(named if "://" in named else f"http://{named}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return default
    if parts.scheme not in ("http", "https") or not host:
        return default
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared with, not bound
    bracketed = f"[{host}]" if ":" in host else host
    usual = {"http": _OLLAMA_PORT, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{bracketed}:{port or usual}{parts.path.rstrip('/')}"


def _ollama_models(url: str) -> tuple[OllamaModel, ...]:
    """The chat models that run on this Ollama, by name; empty when none answers."""
    try:
        answer = httpx2.get(f"{url}/api/tags", timeout=_OLLAMA_TIMEOUT_S, trust_env=False)
        tags = msgspec.json.decode(answer.raise_for_status().content, type=_Tags)
    except (httpx2.HTTPError, httpx2.InvalidURL, msgspec.DecodeError, UnicodeDecodeError):
        return ()
    return tuple(OllamaModel(name=tag.name) for tag in sorted(tags.models or [], key=_name) if _is_local_chat(tag))


def _name(tag: _Tag) -> str:
    return tag.name


def _is_local_chat(tag: _Tag) -> bool:
    """Whether a model can chat (BERT families only embed) and runs here (Ollama also lists models of its cloud)."""
    family = tag.details.family if tag.details else ""
    return not family.endswith("bert") and not tag.remote_host

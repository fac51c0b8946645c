"""The configurations that Wardwright writes itself: the built-in one, and the first file of `wardwright init`.

Both are TOML texts that take the same way through the loader as a file of the operator's own. The addresses of the providers
are part of the product; context windows are those that the providers document for the models named.
"""

import json
import re
from collections.abc import Iterable
from typing import Literal

import msgspec

CredentialName = Literal["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENROUTER_API_KEY"]

_ID = re.compile(r"[!-~]{1,200}")

_EMBEDDED = """\
# {title}
{providers}
[[targets]]
id = "local/smollm2-short"
provider = "smollm2-short"
upstream_model = "smollm2"
context_window = 2048

[[targets]]
id = "local/smollm2-long"
provider = "smollm2-long"
upstream_model = "smollm2"
context_window = 8192

[[models]]
id = "coding-balanced"
description = {description}
route_root = "fit"

[[models.dispatchers]]
id = "fit"
models = ["local/smollm2-short", "local/smollm2-long"]
"""

_LLAMA_CPP = """
[[providers]]
id = {id}
kind = "llama-cpp"
weights = "smollm2"
context_window = {window}
"""

_CANNED = """
[[providers]]
id = {id}
kind = "canned"
outputs = [
  {output},
]
"""

_HEADER = """\
# Wardwright: which models callers see, and what stands behind them.
# `wardwright check` lists every problem of this file; no secret is ever written in it.

[server]
bind = "127.0.0.1:8791"    # WARDWRIGHT_BIND wins

[storage]
kind = "file"
path = "~/.local/share/wardwright"    # WARDWRIGHT_DATA_DIR wins
durability = "strict"    # an answer ends only after its receipt is on disk
"""


class OllamaModel(msgspec.Struct, frozen=True):
    """A model that a local Ollama has, and the context window it is to run it with."""

    name: str
    context_window: int = 4096


class Discovered(msgspec.Struct, frozen=True):
    """What `wardwright init` found on a machine. Credentials are known by the names of their variables alone."""

    ollama_base_url: str = "http://127.0.0.1:11434"
    ollama_models: tuple[OllamaModel, ...] = ()
    credentials: frozenset[CredentialName] = frozenset()
    embedded_weights: bool = False


class _Hosted(msgspec.Struct, frozen=True):
    """A hosted provider, the API it is asked over, and the model its target begins with."""

    id: str
    title: str
    kind: Literal["openai-compatible", "anthropic"]
    credential: CredentialName
    base_url: str
    model: str
    context_window: int


_HOSTED = (
    _Hosted(
        "anthropic",
        "Anthropic",
        "anthropic",
        "ANTHROPIC_API_KEY",
        "https://api.anthropic.com",
        "claude-sonnet-4-5",
        200_000,
    ),
    _Hosted(
        "openai",
        "OpenAI",
        "openai-compatible",
        "OPENAI_API_KEY",
        "https://api.openai.com/v1",
        "gpt-4.1-mini",
        1_047_576,
    ),
    _Hosted(
        "openrouter",
        "OpenRouter",
        "openai-compatible",
        "OPENROUTER_API_KEY",
        "https://openrouter.ai/api/v1",
        "openrouter/auto",
        200_000,
    ),
)


def embedded_config_text(weights_available: bool) -> str:
    """Write the configuration that is used when there is no file; without weights its answers are a demo. Purity: pure."""
    return _embedded(weights_available, "The built-in configuration: one synthetic model over two context windows.")


def render_config(found: Discovered) -> str:
    """Write a commented first configuration from what was found on the machine. Purity: pure."""
    sections = [_HEADER]
    members: list[str] = []
    ollama = {model.name: model for model in found.ollama_models if _ID.fullmatch(model.name)}
    if ollama:
        sections.append(_ollama_section(found.ollama_base_url, ollama.values()))
        members += [f"ollama/{name}" for name in ollama]
    for hosted in _HOSTED:
        if hosted.credential in found.credentials:
            sections.append(_hosted_section(hosted))
            members.append(f"{hosted.id}/{hosted.model}")
    if not members:
        return _HEADER + "\n" + _embedded(found.embedded_weights, _only_model_title(found.embedded_weights))
    sections.append(_model_section("coding-balanced", "The smallest context window that fits the request", members))
    if found.embedded_weights:
        sections.append(_embedded_model_section())
    return "\n".join(sections)


def toml_text(text: str) -> str:
    """Quote a text as a TOML basic string. Purity: pure."""
    # JSON's escapes are TOML's too; TOML wants the delete character escaped as well.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _embedded(weights_available: bool, title: str) -> str:
    if weights_available:
        description = "SmolLM2 on this machine; the shorter context window that fits"
    else:
        description = "Demo with canned answers: no model is connected"
    return _EMBEDDED.format(
        title=title, providers=_embedded_providers(weights_available), description=toml_text(description)
    )


def _only_model_title(weights_available: bool) -> str:
    if weights_available:
        return "The small model that Wardwright runs itself, with two context windows behind one name."
    return "A demo with canned answers, because no model was found: put providers of your own in its place."


def _embedded_providers(weights_available: bool) -> str:
    if weights_available:
        short = _LLAMA_CPP.format(id=toml_text("smollm2-short"), window=2048)
        return short + _LLAMA_CPP.format(id=toml_text("smollm2-long"), window=8192)
    return "".join(
        _CANNED.format(id=toml_text(f"smollm2-{size}"), output=toml_text(_demo_answer(size)))
        for size in ("short", "long")
    )


def _demo_answer(size: str) -> str:
    return (
        f"[demo] This is a canned answer from the target local/smollm2-{size}. Wardwright routed your request and wrote a "
        "receipt for it, but no model is connected yet."
    )


def _ollama_section(base_url: str, models: Iterable[OllamaModel]) -> str:
    targets = [_target(f"ollama/{model.name}", "ollama", model.name, max(1, model.context_window)) for model in models]
    note = "# Models of the Ollama on this machine. It runs them with context_window (its num_ctx): more takes more memory.\n"
    return note + _provider("ollama", "ollama", base_url, None) + "".join(targets)


def _hosted_section(hosted: _Hosted) -> str:
    note = f"# {hosted.title}, with the key in {hosted.credential}. Prompts routed here leave this machine.\n"
    target = _target(f"{hosted.id}/{hosted.model}", hosted.id, hosted.model, hosted.context_window)
    return note + _provider(hosted.id, hosted.kind, hosted.base_url, hosted.credential) + target


def _provider(name: str, kind: str, base_url: str, credential: str | None) -> str:
    lines = f"[[providers]]\nid = {toml_text(name)}\nkind = {toml_text(kind)}\nbase_url = {toml_text(base_url)}\n"
    return lines + (f"credential_env = {toml_text(credential)}\n" if credential else "")


def _target(name: str, provider: str, upstream_model: str, context_window: int) -> str:
    return (
        f"\n[[targets]]\nid = {toml_text(name)}\nprovider = {toml_text(provider)}\n"
        f"upstream_model = {toml_text(upstream_model)}\ncontext_window = {context_window}\n"
    )


def _model_section(name: str, description: str, members: Iterable[str]) -> str:
    listed = "".join(f"  {toml_text(member)},\n" for member in members)
    return (
        "# What callers ask for. A dispatcher takes the smallest context window that fits; the larger ones are its fallbacks.\n"
        f'[[models]]\nid = {toml_text(name)}\ndescription = {toml_text(description)}\nroute_root = "fit"\n\n'
        f'[[models.dispatchers]]\nid = "fit"\nmodels = [\n{listed}]\n'
    )


def _embedded_model_section() -> str:
    provider = _LLAMA_CPP.format(id=toml_text("smollm2"), window=8192)
    target = _target("local/smollm2", "smollm2", "smollm2", 8192)
    model = _model_section("smollm2", "A small model on this machine, without any network", ["local/smollm2"])
    return f"# The small model that Wardwright runs itself.{provider}{target}\n{model}"

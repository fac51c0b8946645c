import importlib.util

import pytest

from wardwright.cli.discover import discover, ollama_base_url
from wardwright.config.defaults import OllamaModel

from .conftest import closed_port
from .fake_daemon import FakeDaemon

HAS_ENGINE = importlib.util.find_spec("xllamacpp") is not None


def nowhere() -> dict[str, str]:
    return {"OLLAMA_HOST": f"127.0.0.1:{closed_port()}"}


@pytest.mark.parametrize(
    ("named", "url"),
    [
        (None, "http://127.0.0.1:11434"),
        ("", "http://127.0.0.1:11434"),
        ("192.168.1.5", "http://192.168.1.5:11434"),
        ("box:8080", "http://box:8080"),
        ("http://box", "http://box:11434"),
        ("https://box", "https://box:443"),
        ("https://box/ollama/", "https://box:443/ollama"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("[::]:11434", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("ftp://box", "http://127.0.0.1:11434"),
        ("box:port", "http://127.0.0.1:11434"),
        ("http://[", "http://127.0.0.1:11434"),
    ],
)
def test_ollamas_own_variable_is_understood_in_its_forms(named: str | None, url: str) -> None:
    assert ollama_base_url({} if named is None else {"OLLAMA_HOST": named}) == url


def test_chat_models_that_run_here_are_found(daemon: FakeDaemon) -> None:
    tags = {
        "models": [
            {"name": "qwen2.5-coder:7b", "size": 1, "details": {"family": "qwen2", "format": "gguf"}},
            {"name": "llama3:8b"},
            {"name": "nomic-embed-text:latest", "details": {"family": "nomic-bert"}},
            {"name": "gpt-oss:120b-cloud", "remote_host": "https://ollama.com:443"},
        ]
    }
    daemon.lay("GET", "/api/tags", (200, tags))

    found = discover({"OLLAMA_HOST": daemon.url}, weights_present=False)

    assert found.ollama_base_url == daemon.url
    assert found.ollama_models == (OllamaModel("llama3:8b"), OllamaModel("qwen2.5-coder:7b"))


@pytest.mark.parametrize("answer", [(500, {}), (200, b"<html>"), (200, {"models": [{"no": "name"}]}), (200, [])])
def test_anything_else_in_ollamas_place_is_no_ollama(daemon: FakeDaemon, answer: tuple[int, object]) -> None:
    daemon.lay("GET", "/api/tags", answer)

    assert discover({"OLLAMA_HOST": daemon.url}, weights_present=False).ollama_models == ()


def test_keys_are_found_by_name_and_never_kept() -> None:
    environ = {**nowhere(), "OPENAI_API_KEY": "sk-secret", "OPENROUTER_API_KEY": "", "MISTRAL_API_KEY": "x"}

    found = discover(environ, weights_present=False)

    assert found.credentials == {"OPENAI_API_KEY"}
    assert "sk-secret" not in repr(found)


@pytest.mark.parametrize("weights_present", [True, False])
def test_the_small_model_is_offered_when_it_is_there_or_when_nothing_else_is(weights_present: bool) -> None:
    alone = discover(nowhere(), weights_present=weights_present)
    beside = discover({**nowhere(), "OPENAI_API_KEY": "k"}, weights_present=weights_present)

    assert alone.embedded_weights is HAS_ENGINE
    assert beside.embedded_weights is (HAS_ENGINE and weights_present)

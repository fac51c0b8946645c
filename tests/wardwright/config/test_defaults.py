"""The texts that Wardwright writes itself: each passes the loader, says what it is, and routes as it promises."""

import tomllib
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wardwright.config.defaults import (
    CredentialName,
    Discovered,
    OllamaModel,
    embedded_config_text,
    render_config,
    toml_text,
)
from wardwright.config.load import Loaded, load_config
from wardwright.config.settings import (
    AnthropicSettings,
    CannedSettings,
    LlamaCppSettings,
    OllamaSettings,
    OpenAICompatibleSettings,
    RemoteSettings,
)
from wardwright.domain.route import Composition, ModelDefinition, PlanInputs, RequestFacts, RoutePlan
from wardwright.planner.plan import plan

CREDENTIALS: tuple[CredentialName, ...] = get_args(CredentialName)


def planned(definition: ModelDefinition, tokens: int) -> RoutePlan:
    return plan(Composition(definition), PlanInputs(RequestFacts(tokens)))


def load(folder: Path, text: str) -> Loaded:
    path = folder / "wardwright.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, dict.fromkeys(CREDENTIALS, "k"))


@pytest.mark.parametrize("weights_available", [True, False])
def test_the_built_in_model_dispatches_over_two_windows(weights_available: bool) -> None:
    loaded = load_config(None, {}, weights_available=weights_available)
    assert loaded.warnings == ()
    (definition,) = loaded.definitions
    assert (definition.id, definition.root) == ("coding-balanced", "fit")
    assert [target.id for target in planned(definition, 2048).targets] == [
        "local/smollm2-short",
        "local/smollm2-long",
    ]
    assert [target.id for target in planned(definition, 2049).targets] == ["local/smollm2-long"]
    assert planned(definition, 8193).targets == ()


def test_with_weights_the_built_in_model_is_a_local_one() -> None:
    short, long = load_config(None, {}, weights_available=True).settings.providers
    assert isinstance(short, LlamaCppSettings)
    assert isinstance(long, LlamaCppSettings)
    assert (short.id, short.context_window, short.weights) == ("smollm2-short", 2048, "smollm2")
    assert (long.id, long.context_window, long.weights) == ("smollm2-long", 8192, "smollm2")


def test_without_weights_the_built_in_model_says_that_it_is_a_demo() -> None:
    loaded = load_config(None, {}, weights_available=False)
    for provider in loaded.settings.providers:
        assert isinstance(provider, CannedSettings)
        assert all("[demo]" in output for output in provider.outputs)
    assert loaded.definitions[0].description.startswith("Demo")


def test_what_was_found_becomes_targets_of_one_model_by_window(tmp_path: Path) -> None:
    found = Discovered(
        ollama_base_url="http://127.0.0.1:11434",
        ollama_models=(OllamaModel("qwen2.5-coder:7b", 32768), OllamaModel("small")),
        credentials=frozenset(CREDENTIALS),
    )
    loaded = load(tmp_path, render_config(found))
    (definition,) = loaded.definitions
    assert [target.id for target in planned(definition, 10_000).targets] == [
        "ollama/qwen2.5-coder:7b",
        "anthropic/claude-sonnet-4-5",
        "openrouter/openrouter/auto",
        "openai/gpt-4.1-mini",
    ]
    upstream = {target.id: target.upstream_model for target in definition.targets}
    assert upstream["openrouter/openrouter/auto"] == "openrouter/auto"
    addresses = {}
    for provider in loaded.settings.providers:
        assert isinstance(provider, RemoteSettings)
        addresses[provider.id] = (type(provider), provider.base_url, provider.credential_env)
    assert addresses == {
        "ollama": (OllamaSettings, "http://127.0.0.1:11434", None),
        "anthropic": (AnthropicSettings, "https://api.anthropic.com", "ANTHROPIC_API_KEY"),
        "openai": (OpenAICompatibleSettings, "https://api.openai.com/v1", "OPENAI_API_KEY"),
        "openrouter": (OpenAICompatibleSettings, "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    }


def test_a_local_model_beside_others_is_a_model_of_its_own(tmp_path: Path) -> None:
    found = Discovered(credentials=frozenset({"OPENAI_API_KEY"}), embedded_weights=True)
    loaded = load(tmp_path, render_config(found))
    assert {definition.id: [target.id for target in definition.targets] for definition in loaded.definitions} == {
        "coding-balanced": ["openai/gpt-4.1-mini"],
        "smollm2": ["local/smollm2"],
    }


@pytest.mark.parametrize("weights", [True, False])
def test_with_nothing_else_found_the_file_holds_the_built_in_model(tmp_path: Path, weights: bool) -> None:
    text = render_config(Discovered(embedded_weights=weights))
    loaded = load(tmp_path, text)
    built_in = load_config(None, {}, weights_available=weights)
    assert loaded.definitions == built_in.definitions
    assert loaded.settings.providers == built_in.settings.providers


@pytest.mark.parametrize("weights", [True, False])
def test_the_operators_own_file_does_not_call_itself_built_in(weights: bool) -> None:
    assert embedded_config_text(weights).startswith("# The built-in configuration")
    assert "built-in" not in render_config(Discovered(embedded_weights=weights))


def test_a_name_that_can_be_no_id_is_left_out(tmp_path: Path) -> None:
    found = Discovered(ollama_models=(OllamaModel("with space"), OllamaModel(""), OllamaModel("fine")))
    (definition,) = load(tmp_path, render_config(found)).definitions
    assert [target.id for target in definition.targets] == ["ollama/fine"]


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.from_regex(r"[a-z0-9.:/\"\\-]{1,20}")
discoveries = st.builds(
    Discovered,
    ollama_base_url=st.sampled_from(["http://127.0.0.1:11434", "http://[::1]:11434"]),
    ollama_models=st.lists(st.builds(OllamaModel, names, st.integers(-5, 10**7)), max_size=4).map(tuple),
    credentials=st.frozensets(st.sampled_from(CREDENTIALS)),
    embedded_weights=st.booleans(),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=discoveries)
def test_every_first_file_loads_without_problems_or_warnings(tmp_path: Path, found: Discovered) -> None:
    loaded = load(tmp_path, render_config(found))
    assert loaded.warnings == ()
    assert loaded.definitions[0].id == "coding-balanced"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_quoted_text_reads_back_as_it_was(text: str) -> None:
    assert tomllib.loads(f"a = {toml_text(text)}") == {"a": text}

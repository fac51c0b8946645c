"""What must hold between tables, each broken once, through the loader as an operator meets it."""

from pathlib import Path

import pytest

from wardwright.config.load import load_config
from wardwright.config.problems import ConfigError, shown

PROVIDER = '[[providers]]\nid = "local"\nkind = "openai-compatible"\nbase_url = "http://127.0.0.1:1/v1"\n'
TARGET = '[[targets]]\nid = "local/a"\nprovider = "local"\ncontext_window = 100\n'
NO_URL = 'expected an http or https URL such as "http://127.0.0.1:11434/v1", got something else (not shown here)'
MODEL = '[[models]]\nid = "m"\n'


def problems(folder: Path, text: str, **environ: str) -> list[str]:
    path = folder / "wardwright.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_config(path, environ)
    return [str(problem) for problem in raised.value.problems]


def warnings(folder: Path, text: str, **environ: str) -> list[str]:
    path = folder / "wardwright.toml"
    path.write_text(text)
    return [str(warning) for warning in load_config(path, environ).warnings]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[server]\nbind = "8791"\n',
            'server.bind: expected "host:port", an IPv6 host in brackets, got "8791"',
        ),
        (
            "[storage]\nretention = { receipts_days = 30, events_days = 30.5, content_days = 7 }\n",
            "storage.retention.events_days: expected at most the 30 days that receipts are kept (receipts_days), got 30.5",
        ),
        (
            "[storage]\nretention = { receipts_days = 30, events_days = 30, content_days = 90 }\n",
            "storage.retention.content_days: expected at most the 30 days that receipts are kept (receipts_days), got 90",
        ),
        (
            '[server]\nbind = "0.0.0.0:8791"\n',
            'server.bind: expected a loopback address while WARDWRIGHT_ADMIN_TOKEN is not set, got "0.0.0.0:8791"',
        ),
        (
            '[server]\nbind = "0.0.0.0:8791"\nadmin_token_env = "MY_TOKEN"\n',
            'server.bind: expected a loopback address while MY_TOKEN is not set, got "0.0.0.0:8791"',
        ),
        (
            PROVIDER + PROVIDER,
            'providers[1].id: expected an id of its own, but providers[0] is "local" too',
        ),
        (
            '[[providers]]\nid = "p"\nkind = "openai-compatible"\nbase_url = "127.0.0.1:1"\n',
            "providers.p.base_url: " + NO_URL,
        ),
        (
            '[[providers]]\nid = "p"\nkind = "openai-compatible"\nbase_url = "http://[::1/v1"\n',
            "providers.p.base_url: " + NO_URL,
        ),
        (
            '[[providers]]\nid = "p"\nkind = "openai-compatible"\nbase_url = "https://me:secret@example.com/v1"\n',
            (
                "providers.p.base_url: expected an http or https URL without user name and password, "
                "which belong in credential_env"
            ),
        ),
        (
            '[[providers]]\nid = "p"\nkind = "openai-compatible"\nbase_url = "https://example.com/v1?key=secret"\n',
            "providers.p.base_url: expected an http or https URL without a query or fragment",
        ),
        (
            PROVIDER + 'credential_env = "KEY"\ncredential_file = "key"\n',
            "providers.local.credential_file: expected credential_env or credential_file, got both",
        ),
        (
            '[[providers]]\nid = "p"\nkind = "llama-cpp"\ncontext_window = 10\n',
            "providers.p.weights: expected weights or model_path, got neither",
        ),
        (
            '[[providers]]\nid = "p"\nkind = "llama-cpp"\ncontext_window = 10\nweights = "a"\nmodel_path = "b"\n',
            "providers.p.model_path: expected weights or model_path, got both",
        ),
        (
            PROVIDER + TARGET.replace('"local"', '"lokal"'),
            'targets.local/a.provider: expected the id of a provider, got "lokal", did you mean "local"?',
        ),
        (
            PROVIDER + TARGET + TARGET,
            'targets[1].id: expected an id of its own, but targets[0] is "local/a" too',
        ),
        (
            '[[providers]]\nid = "local"\nkind = "llama-cpp"\nweights = "smollm2"\ncontext_window = 99\n' + TARGET,
            'targets.local/a.context_window: expected at most the 99 tokens of provider "local", got 100',
        ),
        (
            PROVIDER + TARGET + MODEL + MODEL,
            'models[1].id: expected an id of its own, but another model is "m" too',
        ),
        (
            PROVIDER + TARGET + MODEL + '[[models.dispatchers]]\nid = "fit"\nmodels = ["local/a", "local/b"]\n',
            (
                "models.m.dispatchers.fit.models[1]: expected the id of a target or of a selector of this model, "
                'got "local/b", did you mean "local/a"?'
            ),
        ),
        (
            PROVIDER + TARGET + MODEL + 'route_root = "fitt"\n[[models.cascades]]\nid = "fit"\nmodels = ["local/a"]\n',
            (
                "models.m.route_root: expected the id of a target or of a selector of this model, "
                'got "fitt", did you mean "fit"?'
            ),
        ),
        (MODEL, "models.m.route_root: expected a target to route to, but no target is configured"),
    ],
)
def test_each_broken_bond_between_tables_is_one_problem(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(tmp_path, text) == [problem]


def test_an_address_that_others_reach_is_allowed_with_an_admin_token(tmp_path: Path) -> None:
    text = '[server]\nbind = "0.0.0.0:8791"\n' + PROVIDER + TARGET + MODEL
    assert warnings(tmp_path, text, WARDWRIGHT_ADMIN_TOKEN="t") == []
    assert problems(tmp_path, text, WARDWRIGHT_ADMIN_TOKEN=" ")


def test_what_is_in_receipts_may_be_kept_for_as_long_as_they_are(tmp_path: Path) -> None:
    for text in (
        "receipts_days = 90, events_days = 30, content_days = 7",
        "receipts_days = 1, events_days = 1, content_days = 1",
        "events_days = 365, content_days = 400",
    ):
        (tmp_path / "wardwright.toml").write_text(f"[storage]\nretention = {{ {text} }}\n")
        load_config(tmp_path / "wardwright.toml", {})


def test_a_provider_that_is_malformed_still_counts_as_named(tmp_path: Path) -> None:
    text = '[[providers]]\nid = "local"\nkind = "smtp"\n' + TARGET + MODEL
    (found,) = problems(tmp_path, text)
    assert found.startswith("providers.local.kind: ")


def test_a_window_is_not_compared_with_one_that_is_malformed(tmp_path: Path) -> None:
    text = '[[providers]]\nid = "local"\nkind = "llama-cpp"\nweights = "w"\ncontext_window = "big"\n' + TARGET + MODEL
    (found,) = problems(tmp_path, text)
    assert found.startswith("providers.local.context_window: ")


def test_a_selector_without_an_id_is_one_problem(tmp_path: Path) -> None:
    text = PROVIDER + TARGET + MODEL + '[[models.dispatchers]]\nmodels = ["local/a"]\n'
    (found,) = problems(tmp_path, text)
    assert found.startswith("models.m.dispatchers[0].id: expected an id")


def test_problems_of_all_stages_come_together(tmp_path: Path) -> None:
    text = (
        '[server]\nbind = "0.0.0.0:1"\ncolour = "red"\n'
        + PROVIDER.replace("http:", "ftp:")
        + TARGET.replace("100", "0")
        + MODEL
        + '[[models.dispatchers]]\nid = "fit"\nmodels = ["nowhere", 7]\n'
    )
    assert [found.split(": ")[0] for found in problems(tmp_path, text)] == [
        "server.colour",
        "targets.local/a.context_window",
        "models.m.dispatchers.fit.models[1]",
        "server.bind",
        "providers.local.base_url",
        "models.m.dispatchers.fit.models[0]",
    ]


def test_a_credential_that_is_not_set_is_a_warning(tmp_path: Path) -> None:
    text = PROVIDER + 'credential_env = "LOCAL_KEY"\n' + TARGET + MODEL
    assert warnings(tmp_path, text) == [
        "providers.local.credential_env: LOCAL_KEY is not set, so every call to this provider fails and falls over to the next target"
    ]
    assert warnings(tmp_path, text, LOCAL_KEY="k") == []


def test_a_credential_file_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    text = PROVIDER + 'credential_file = "key"\n' + TARGET + MODEL
    assert warnings(tmp_path, text) == [f"providers.local.credential_file: no file at {shown(str(tmp_path / 'key'))}"]
    (tmp_path / "key").write_text("k")
    assert warnings(tmp_path, text) == []


def test_a_model_file_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    text = '[[providers]]\nid = "local"\nkind = "llama-cpp"\nmodel_path = "m.gguf"\ncontext_window = 100\n' + TARGET
    (found,) = warnings(tmp_path, text + MODEL)
    assert found.startswith("providers.local.model_path: no file at")
    (tmp_path / "m.gguf").write_text("")
    assert warnings(tmp_path, text + MODEL) == []


def test_a_selector_that_routing_never_reaches_is_a_warning(tmp_path: Path) -> None:
    graph = (
        'route_root = "fit"\n[[models.dispatchers]]\nid = "fit"\nmodels = ["local/a"]\n'
        '[[models.cascades]]\nid = "aside"\nmodels = ["local/a"]\n'
    )
    assert warnings(tmp_path, PROVIDER + TARGET + MODEL + graph) == [
        'models.m.cascades.aside: nothing routes here: it is not reached from "fit"'
    ]


def test_a_configuration_without_models_is_a_warning(tmp_path: Path) -> None:
    assert warnings(tmp_path, "") == ["models: no model is configured, so there is nothing to call"]

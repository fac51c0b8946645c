"""Finding and loading the file: the order of places, syntax errors, overrides and included files."""

from pathlib import Path

import pytest

from wardwright.config.load import EMBEDDED_SOURCE, Loaded, find_config, load_config
from wardwright.config.problems import ConfigError
from wardwright.config.settings import LlamaCppSettings, OpenAICompatibleSettings

BASE = """
[[providers]]
id = "local"
kind = "openai-compatible"
base_url = "http://127.0.0.1:1/v1"

[[targets]]
id = "local/a"
provider = "local"
context_window = 100
"""
MODEL = '[[models]]\nid = "{0}"\n[[models.cascades]]\nid = "only"\nmodels = ["local/a"]\n'


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str, **environ: str) -> Loaded:
    return load_config(write(folder / "wardwright.toml", text), environ)


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load_config(path, {})
    return [str(problem) for problem in raised.value.problems]


def test_the_file_is_looked_for_in_the_contracts_order(tmp_path: Path) -> None:
    explicit, named = tmp_path / "explicit.toml", tmp_path / "named.toml"
    local = write(tmp_path / "work" / "wardwright.toml", "")
    xdg = write(tmp_path / "xdg" / "wardwright" / "wardwright.toml", "")
    environ = {"WARDWRIGHT_CONFIG": str(named), "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    assert find_config(explicit, environ, local.parent) == explicit
    assert find_config(None, environ, local.parent) == named
    del environ["WARDWRIGHT_CONFIG"]
    assert find_config(None, environ, local.parent) == local
    assert find_config(None, environ, tmp_path) == xdg
    assert find_config(None, {"XDG_CONFIG_HOME": str(tmp_path / "none")}, tmp_path) is None


def test_the_xdg_folder_defaults_to_the_home_folders_config(tmp_path: Path) -> None:
    home = write(tmp_path / ".config" / "wardwright" / "wardwright.toml", "")
    assert find_config(None, {"HOME": str(tmp_path)}, tmp_path) == home


def test_a_named_file_that_is_missing_is_a_problem_and_not_passed_over(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    assert find_config(missing, {}, tmp_path) == missing
    assert problems(missing) == ["cannot read the file: No such file or directory"]


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    assert problems(tmp_path) == ["cannot read the file: Is a directory"]


def test_without_a_file_the_built_in_configuration_is_loaded() -> None:
    loaded = load_config(None, {})
    assert (loaded.source, [definition.id for definition in loaded.definitions]) == (
        EMBEDDED_SOURCE,
        ["coding-balanced"],
    )


def test_a_loaded_file_gives_settings_and_definitions(tmp_path: Path) -> None:
    loaded = load(tmp_path, BASE + MODEL.format("m"))
    assert loaded.source == str(tmp_path / "wardwright.toml")
    assert [model.id for model in loaded.settings.models] == ["m"]
    (definition,) = loaded.definitions
    assert (definition.id, definition.root, definition.targets[0].upstream_model) == ("m", "only", "a")
    assert loaded.warnings == ()


def test_a_version_does_not_depend_on_the_order_of_keys(tmp_path: Path) -> None:
    table = '[[models]]\ndescription = "d"\nmax_attempts = 2\nid = "m"\n'
    turned = '[[models]]\nid = "m"\nmax_attempts = 2\ndescription = "d"\n'
    (one,), (other,) = load(tmp_path, BASE + table).definitions, load(tmp_path, BASE + turned).definitions
    assert one == other
    (changed,) = load(tmp_path, BASE.replace("100", "101") + table).definitions
    assert changed.version != one.version


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[server]\nbind = \n", "line 2, column 8: expected valid TOML: Invalid value"),
        ("[server\n", "line 1, column 8: expected valid TOML: Expected ']' at the end of a table declaration"),
        ("a = 1\na = 2\n", "line 2, column 6: expected valid TOML: Cannot overwrite a value"),
        ('a = "', "end of file: expected valid TOML: Unterminated string"),
    ],
)
def test_a_syntax_error_is_the_one_problem_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    assert problems(write(tmp_path / "w.toml", text)) == [problem]


def test_what_is_too_deep_to_read_is_a_problem(tmp_path: Path) -> None:
    (found,) = problems(write(tmp_path / "w.toml", "a = " + "[" * 5000 + "]" * 5000))
    assert "too deeply" in found or "nest" in found.lower()


def test_bytes_that_are_no_text_are_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "w.toml"
    path.write_bytes(b"a = '\xff'")
    assert problems(path) == ["cannot read the file: expected UTF-8 text, got other bytes at offset 5"]


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "w.toml"
    path.write_bytes(b"\xef\xbb\xbf" + (BASE + MODEL.format("m")).encode())
    assert load_config(path, {}).definitions


def test_the_environment_overrides_bind_address_and_data_folder(tmp_path: Path) -> None:
    text = '[server]\nbind = "127.0.0.1:1"\n[storage]\npath = "data"\n'
    loaded = load(tmp_path, text, WARDWRIGHT_BIND="[::1]:2", WARDWRIGHT_DATA_DIR="/srv/w")
    assert loaded.settings.server.bind == "[::1]:2"
    assert loaded.settings.storage.path == "/srv/w"


def test_a_bind_address_of_the_environment_is_checked_under_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"WARDWRIGHT_BIND: expected a loopback address while"):
        load(tmp_path, "", WARDWRIGHT_BIND="0.0.0.0:1")
    with pytest.raises(ConfigError, match=r'WARDWRIGHT_BIND: expected "host:port"'):
        load(tmp_path, "", WARDWRIGHT_BIND="nope")


def test_relative_paths_begin_at_the_file_and_the_tilde_at_home(tmp_path: Path) -> None:
    text = (
        '[storage]\npath = "~/data"\n'
        '[[providers]]\nid = "a"\nkind = "openai-compatible"\nbase_url = "http://h/v1"\ncredential_file = "keys/a"\n'
        '[[providers]]\nid = "b"\nkind = "llama-cpp"\ncontext_window = 10\nmodel_path = "~/m.gguf"\n'
    )
    found = load(tmp_path, text, HOME="/home/someone").settings
    assert found.storage.path == "/home/someone/data"
    first, second = found.providers
    assert isinstance(first, OpenAICompatibleSettings)
    assert isinstance(second, LlamaCppSettings)
    assert first.credential_file == str(tmp_path / "keys" / "a")
    assert second.model_path == "/home/someone/m.gguf"


def test_included_models_come_after_the_files_own_in_the_order_of_names(tmp_path: Path) -> None:
    write(tmp_path / "models" / "b.toml", MODEL.format("b"))
    write(tmp_path / "models" / "a.toml", MODEL.format("a1") + MODEL.format("a2"))
    write(tmp_path / "models" / "notes.txt", "not a model")
    write(tmp_path / "models" / "deeper.toml" / "c.toml", MODEL.format("c"))
    loaded = load(tmp_path, '[include]\nmodels = ["models/*.toml"]\n' + BASE + MODEL.format("own"))
    assert [definition.id for definition in loaded.definitions] == ["own", "a1", "a2", "b"]
    assert [model.id for model in loaded.settings.models] == ["own", "a1", "a2", "b"]


def test_a_pattern_without_matches_is_no_problem_but_a_missing_file_is(tmp_path: Path) -> None:
    assert load(tmp_path, '[include]\nmodels = ["models/*.toml"]\n').definitions == ()
    path = write(tmp_path / "w.toml", '[include]\nmodels = ["models/*.toml", "one.toml", "a\\u0000b"]\n')
    assert problems(path) == [
        'include.models[1]: expected a file, got "one.toml", which does not exist',
        'include.models[2]: expected a file, got "a\\u0000b", which does not exist',
    ]


def test_files_without_a_word_in_them_are_named(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufeff \n\t\n").empty_files == (None,)
    assert load(tmp_path, "# nothing yet\n").empty_files == ()
    for name, text in (("a", ""), ("b", "\n \n"), ("c", "# later\n"), ("d", MODEL.format("d"))):
        write(tmp_path / "m" / f"{name}.toml", text)
    assert load(tmp_path, '[include]\nmodels = ["m/*.toml"]\n' + BASE).empty_files == ("m/a.toml", "m/b.toml")


def test_problems_of_included_files_name_file_and_place(tmp_path: Path) -> None:
    write(tmp_path / "m" / "1.toml", MODEL.format("m").replace("local/a", "local/b"))
    write(tmp_path / "m" / "2.toml", MODEL.format("m"))
    write(tmp_path / "m" / "3.toml", "[[models]\n")
    write(tmp_path / "m" / "4.toml", "[server]\n" + MODEL.format("x y"))
    (tmp_path / "m" / "5.toml").write_bytes(b"\xff")
    found = problems(write(tmp_path / "w.toml", '[include]\nmodels = ["m/*.toml"]\n' + BASE))
    assert [problem.split(": expected")[0] for problem in found] == [
        "m/3.toml: line 1, column 9",
        'm/4.toml: server: unknown key, expected "models"',
        "m/4.toml: models[0].id",
        "m/5.toml: cannot read the file",
        "m/1.toml: models.m.cascades.only.models[0]",
        "m/2.toml: models.m.id",
    ]
    assert found[-1].endswith('expected an id of its own, but another model in m/1.toml is "m" too')

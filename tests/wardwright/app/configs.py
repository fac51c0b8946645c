"""Configurations as an operator would write them."""

from collections.abc import Mapping
from pathlib import Path

from wardwright.config.load import Loaded, load_config

CANNED = """
[[providers]]
id = "demo"
kind = "canned"
outputs = ["one two three"]

[[targets]]
id = "demo/m"
provider = "demo"
context_window = 8192

[[models]]
id = "test-model"
version = "v1"
"""


def loaded(folder: Path, text: str = CANNED, environ: Mapping[str, str] | None = None) -> Loaded:
    """Load a configuration from a file in this folder, where its data is kept too."""
    file = folder / "wardwright.toml"
    file.write_text(text, encoding="utf-8")
    return load_config(file, {"WARDWRIGHT_DATA_DIR": str(folder / "data"), **(environ or {})})

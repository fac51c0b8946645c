"""The patterns of `redos.toml`, and the texts that attack them."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True)
class Attack:
    """A pattern, and a text on which backtracking engines lose themselves in it."""

    pattern: str
    beginning: str
    repeated: str
    end: str

    def text(self, length: int) -> str:
        """An attack of about so many characters."""
        return self.beginning + self.repeated * (length // len(self.repeated)) + self.end


ATTACKS = [Attack(*case) for case in tomllib.loads(_FILE.read_text(encoding="utf-8"))["cases"]]

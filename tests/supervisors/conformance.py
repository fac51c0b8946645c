"""What the library promises, sentence by sentence, and the tests which show it: `conformance.md`, read.

A promise is a list item, the tests below it are ids as pytest has them, from this folder on.
"""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
TABLE = FOLDER / "conformance.md"


@dataclass(frozen=True)
class Promise:
    """One sentence, and the ids of its tests."""

    theme: str
    sentence: str
    tests: tuple[str, ...]


def promises() -> list[Promise]:
    """Read the table."""
    found: list[tuple[str, str, list[str]]] = []
    theme = ""
    for line in TABLE.read_text().splitlines():
        if line.startswith("## "):
            theme = line.removeprefix("## ")
        elif line.startswith("- "):
            found.append((theme, line.removeprefix("- "), []))
        elif line.startswith("  - `"):
            found[-1][2].append(line.removeprefix("  - `").removesuffix("`"))
        elif line.startswith("  "):
            before, sentence, tests = found[-1]
            found[-1] = (before, f"{sentence} {line.strip()}", tests)
    return [Promise(theme, sentence, tuple(tests)) for theme, sentence, tests in found]

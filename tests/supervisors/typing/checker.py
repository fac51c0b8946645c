"""`mypy --strict` over a handful of files, in one run and in a process of its own.

In a process of its own, because mypy retunes the garbage collector of the process it runs in and leaves it full.
"""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[3]

_LINE = re.compile(r"(\w+)\.py:\d+: (error|note): (.*)")


def check(files: Mapping[str, str], folder: Path) -> dict[str, list[str]]:
    """Check modules, given by name and source, as a user of the library would; the complaints about each, by name."""
    sources = folder / "sources"
    sources.mkdir()
    for name, text in files.items():
        (sources / f"{name}.py").write_text(text, encoding="utf-8")
    mypy = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary", "--no-pretty"),
            *("--warn-unreachable", "--cache-dir", str(folder / "cache"), str(sources)),
        ],
        capture_output=True,
        text=True,
        cwd=sources,
        env={"MYPYPATH": str(ROOT)},
        check=False,
    )
    if mypy.returncode > 1:
        raise RuntimeError(f"mypy could not run: {mypy.stdout}{mypy.stderr}")
    complaints: dict[str, list[str]] = {name: [] for name in files}
    for line in mypy.stdout.splitlines():
        found = _LINE.fullmatch(line)
        if found is None or found[1] not in complaints:
            raise RuntimeError(f"mypy said something about a file it was not asked about: {line}")
        if found[2] == "error":
            complaints[found[1]].append(found[3])
    return complaints

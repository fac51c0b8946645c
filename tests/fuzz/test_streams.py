"""All that the fuzzer begins with, and all that it ever found."""

from pathlib import Path

from tests.fuzz.streams import check, seeds

FINDINGS = Path(__file__).parent / "findings"


def test_what_the_fuzzer_begins_with_holds() -> None:
    for seed in seeds():
        check(seed)


def test_what_the_fuzzer_found_holds_since() -> None:
    for path in sorted(FINDINGS.glob("*")):
        check(path.read_bytes())

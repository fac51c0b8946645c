"""Fuzz the stream decoders: `python -m tests.fuzz SECONDS`. Needs atheris, which `make fuzz` brings."""

import sys
import tempfile
from pathlib import Path

import atheris

# The decoders must be imported under the fuzzer's eyes.
with atheris.instrument_imports(include=["wardwright.wire", "wardwright.domain", "tests.fuzz.streams"]):
    from tests.fuzz.streams import check, seeds

FINDINGS = Path(__file__).parent / "findings"

# What streams are made of, for the fuzzer to put together.
WORDS = [
    "data: ", "event: ", "error", "[DONE]", "\\x0a\\x0a", "\\x0d\\x0a", "\\xef\\xbb\\xbf", "\\\"choices\\\":[", "\\\"delta\\\":{",
    "\\\"content\\\":", "\\\"tool_calls\\\":[", "\\\"index\\\":", "\\\"function\\\":{", "\\\"finish_reason\\\":\\\"stop\\\"",
    "\\\"usage\\\":{", "\\\"type\\\":\\\"message_start\\\"", "\\\"content_block_start\\\"", "\\\"content_block_delta\\\"",
    "\\\"content_block_stop\\\"", "\\\"message_delta\\\"", "\\\"message_stop\\\"", "\\\"tool_use\\\"", "\\\"input_json_delta\\\"",
    "\\\"thinking_delta\\\"", "\\\"signature_delta\\\"", "\\\"partial_json\\\":", "\\\"message\\\":{", "\\\"done\\\":true",
]  # fmt: skip


def main() -> None:
    """Fuzz for as long as the command line says; the input that broke something is left in `findings/`."""
    seconds = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for number, seed in enumerate(seeds()):
            (corpus / str(number)).write_bytes(seed)
        words = Path(folder, "words")
        words.write_text("".join(f'"{word}"\n' for word in WORDS))
        options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", f"-dict={words}"]
        FINDINGS.mkdir(exist_ok=True)
        atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={FINDINGS}/", str(corpus)], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()

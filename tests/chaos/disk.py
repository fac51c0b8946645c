"""A disk that fails on request: whatever a store changes on it passes here first, through Python's `os` or through SQLite.

The system calls themselves are taken, and not a seam of the code under test, so that none can be forgotten.
"""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from stat import S_ISDIR
from typing import Any, NamedTuple
from unittest import mock

import apsw

_BY_DESCRIPTOR = ("write", "pwrite", "fsync", "fdatasync", "ftruncate")
_BY_PATH = ("unlink", "remove", "rename", "replace", "mkdir", "rmdir", "truncate", "link")
_WRITES = ("write", "pwrite", "xWrite")
_MAKING = os.O_CREAT | os.O_TRUNC


class Operation(NamedTuple):
    """Something that was done to the disk: which call, and to what."""

    call: str
    path: str

    @property
    def is_write(self) -> bool:
        """Whether bytes were written."""
        return self.call in _WRITES

    @property
    def is_of_sqlite(self) -> bool:
        """Whether it was done by SQLite, or to a file of its."""
        return self.call.startswith("x") or ".db" in Path(self.path).name

    def __str__(self) -> str:
        return f"{self.call} {Path(self.path).name}"


class Fault(NamedTuple):
    """What becomes of the operation of a number, counted from 0.

    It fails with `error`. With `half`, a write takes half of its bytes, and the operation behind it fails. With `lasting`, all that follow
    fail as well.
    """

    at: int
    error: int
    half: bool = False
    lasting: bool = False

    def __str__(self) -> str:
        how = "a half write, then " if self.half else ""
        return f"{how}{errno.errorcode[self.error]}{' from there on' if self.lasting else ''}"


class Disk:
    """Everything below a folder, as long as `watched` lasts. `done` are the operations so far; `before` is told of each ahead of it."""

    def __init__(
        self, root: Path, fault: Fault | None = None, before: Callable[[Operation], None] | None = None
    ) -> None:
        self._root = str(root)
        self._fault = fault
        self._before = before
        self._counting = threading.Lock()
        self._synced = _Synced()
        self.done: list[Operation] = []

    def heal(self) -> None:
        """Let everything succeed from now on."""
        self._fault = None

    @property
    def has_failed(self) -> bool:
        """Whether the fault has come."""
        return self._fault is not None and len(self.done) > self._fault.at

    @property
    def is_failing(self) -> bool:
        """Whether whatever is done to the disk now fails."""
        return self.has_failed and self._fault is not None and self._fault.lasting

    def left_by_a_power_failure(self, copy: Path) -> None:
        """Make `copy` the folder with what was synced, and nothing else."""
        self._synced.write(Path(self._root), copy)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Let every operation below the folder pass here."""
        vfs = _Vfs(self)
        replaced: dict[str, Callable[..., Any]] = {"open": partial(self._open, os.open)}
        replaced |= {name: partial(self._on_descriptor, name, getattr(os, name)) for name in _BY_DESCRIPTOR}
        replaced |= {name: partial(self._on_path, name, getattr(os, name)) for name in _BY_PATH}
        try:
            with ExitStack() as patches:
                for name, operation in replaced.items():
                    patches.enter_context(mock.patch.object(os, name, operation))
                yield
        finally:
            vfs.unregister()

    def attempt(self, call: str, path: str) -> bool:
        """Count an operation; tell whether it is a write of half.

        Raises: OSError when it is to fail.
        """
        if path != self._root and not path.startswith(f"{self._root}/"):
            return False
        operation = Operation(call, path)
        if self._before is not None:
            self._before(operation)
        with self._counting:
            number, fault = len(self.done), self._fault
            self.done.append(operation)
        if fault is None or number < fault.at:
            return False
        if fault.half and number == fault.at:
            return True
        if number == fault.at + fault.half or fault.lasting:
            raise OSError(fault.error, os.strerror(fault.error))
        return False

    def synced_by_sqlite(self, path: Path) -> None:
        """SQLite has synced a file, and with it its name; or the end of one."""
        if path.exists():
            self._synced.take(path)
        self._synced.take(path.parent)

    def _open(self, real: Callable[..., int], path: Any, flags: int, *args: Any, **options: Any) -> int:
        if not flags & _MAKING:
            return real(path, flags, *args, **options)
        self.attempt("open", os.fsdecode(path))
        fd = real(path, flags, *args, **options)
        if flags & os.O_EXCL:
            self._synced.made(fd)
        return fd

    def _on_path(self, call: str, real: Callable[..., Any], path: Any, *args: Any, **options: Any) -> Any:
        self.attempt(call, os.fsdecode(path))
        return real(path, *args, **options)

    def _on_descriptor(self, call: str, real: Callable[..., Any], fd: int, *args: Any) -> Any:
        if self.attempt(call, os.readlink(f"/proc/self/fd/{fd}")):
            data, *rest = args
            return real(fd, memoryview(data)[: len(data) // 2], *rest)
        done = real(fd, *args)
        if call in ("fsync", "fdatasync"):
            self._synced.take(Path(os.readlink(f"/proc/self/fd/{fd}")))
        return done


class _Synced:
    """What a power failure leaves at least: of each file what was in it when it was last synced, and the names that were synced."""

    def __init__(self) -> None:
        self._contents: dict[int, list[bytes]] = {}
        self._names: dict[Path, list[bytes]] = {}

    def made(self, fd: int) -> None:
        """A new file, which may have the number of one that is gone."""
        self._contents[os.fstat(fd).st_ino] = [b""]

    def take(self, path: Path) -> None:
        """A file was synced, or the names in a folder."""
        status = path.stat()
        if not S_ISDIR(status.st_mode):
            self._content_of(status.st_ino)[0] = path.read_bytes()
            return
        self._names = {known: content for known, content in self._names.items() if known.parent != path}
        self._names |= {Path(each.path): self._content_of(each.inode()) for each in os.scandir(path) if each.is_file()}

    def write(self, root: Path, copy: Path) -> None:
        """Lay it all out in another folder."""
        for folder in (root, *(below for below in root.rglob("*") if below.is_dir())):
            copy.joinpath(folder.relative_to(root)).mkdir(parents=True)
        for path, content in self._names.items():
            copy.joinpath(path.relative_to(root)).write_bytes(content[0])

    def _content_of(self, inode: int) -> list[bytes]:
        return self._contents.setdefault(inode, [b""])


class _Vfs(apsw.VFS):
    """SQLite's way to the disk. The default one while it is registered."""

    def __init__(self, disk: Disk) -> None:
        self.below = apsw.vfs_names()[0]
        super().__init__(f"watched-{id(disk)}", self.below, makedefault=True)
        self._disk = disk

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _File(self._disk, self.below, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        _told(self._disk, "xDelete", filename)
        super().xDelete(filename, syncdir)
        self._disk.synced_by_sqlite(Path(filename))


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, below: str, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        super().__init__(below, name, flags)

    def xLock(self, level: int) -> None:
        try:
            super().xLock(level)
        except apsw.IOError as error:
            # A connection that only reads cannot lock to write. SQLite tries, and bears it; an exception of ours would come through.
            raise apsw.BusyError(str(error)) from error

    def xWrite(self, data: bytes, offset: int) -> None:
        if _told(self._disk, "xWrite", self._path):
            super().xWrite(data[: len(data) // 2], offset)
            raise apsw.FullError("half of it was written")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        _told(self._disk, "xSync", self._path)
        super().xSync(flags)
        self._disk.synced_by_sqlite(Path(self._path))

    def xTruncate(self, newsize: int) -> None:
        _told(self._disk, "xTruncate", self._path)
        super().xTruncate(newsize)


def _told(disk: Disk, call: str, path: str) -> bool:
    """Attempt an operation, and say in SQLite's words that it failed."""
    try:
        return disk.attempt(call, path)
    except OSError as error:
        kind = apsw.FullError if error.errno == errno.ENOSPC else apsw.IOError
        raise kind(str(error)) from error

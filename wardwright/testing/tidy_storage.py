"""A provider that remembers what it has opened, so that a clause may leave readers open and nothing outlives it."""

from collections.abc import Sequence
from contextlib import ExitStack, closing

from wardwright.domain.control import ControlEntry
from wardwright.ports.control import ControlLog
from wardwright.ports.storage import Capability, ReceiptReader, ReceiptStore, StorageProvider


class TidyStorage:
    """The provider under test, for one clause; `close` closes whatever was opened. Implements `ports.storage.StorageProvider`."""

    def __init__(self, provider: StorageProvider) -> None:
        self._provider = provider
        self._opened = ExitStack()

    @property
    def kind(self) -> str:
        return self._provider.kind

    @property
    def capabilities(self) -> frozenset[Capability]:
        return self._provider.capabilities

    @property
    def where(self) -> str:
        return self._provider.where

    def is_new(self) -> bool:
        return self._provider.is_new()

    def open(self) -> ReceiptStore:
        return self._opened.enter_context(closing(self._provider.open()))

    def read(self) -> ReceiptReader:
        return self._opened.enter_context(closing(self._provider.read()))

    def open_control(self) -> ControlLog:
        return self._opened.enter_context(closing(self._provider.open_control()))

    def read_control(self) -> Sequence[ControlEntry]:
        return self._provider.read_control()

    def close(self) -> None:
        self._opened.close()

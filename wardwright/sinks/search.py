"""The sink `search`: receipts as documents of a search engine, flat, each under its receipt's id, so that one sent twice is one document.

A document is a receipt's row of typed columns (`receipts.columns`) without those that it leaves empty: a receipt whole has keys that are
names of models, of which an engine makes ever more fields. The dialects differ in how they take a batch and tell of it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

from wardwright.domain.sink import Unit
from wardwright.ports.sink import Record, SinkRefused, SinkUnavailable
from wardwright.receipts.columns import row_of
from wardwright.receipts.receipt import Receipt
from wardwright.sinks.far_side import Answer, FarSide
from wardwright.sinks.halving import refused_of

Documents = Mapping[str, bytes]
"""Documents by key, each as JSON on one line."""

_REQUESTS = 6  # whose time a batch may take, however many it is sent in
_NDJSON = {"content-type": "application/x-ndjson"}
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_T = TypeVar("_T")

_decode_receipt = msgspec.json.Decoder(Receipt).decode


class Dialect(Protocol):
    """How an engine is spoken to."""

    def send(self, far_side: FarSide, documents: Documents) -> Mapping[str, str] | str:
        """Put documents in; returns why some are refused, by key, or why all are together. Raises: SinkUnavailable."""
        ...


class SearchSink:
    """An index of a search engine."""

    kind = "search"
    unit: Unit = "receipts"

    def __init__(self, far_side: FarSide, index: str, dialect: Dialect) -> None:
        self._far_side = far_side
        self._index = index
        self._dialect = dialect

    @property
    def where(self) -> str:
        """The engine's address, and the index there."""
        return f"{self._far_side.where}, index {self._index}"

    def open(self) -> None:
        """Make ready. Raises: SinkUnavailable."""
        self._far_side.open()

    def deliver(self, records: Sequence[Record]) -> None:
        """Put the receipts in, and wait until the engine has them. Raises: SinkUnavailable, SinkRefused."""
        self._far_side.allow(_REQUESTS)
        reasons: dict[str, str] = {}
        documents: dict[str, bytes] = {}
        for record in records:
            try:
                documents[record.key] = _document(_decode_receipt(record.body))
            except _UNREADABLE:
                reasons[record.key] = "is no receipt that this version of Wardwright can read"
        reasons |= refused_of(documents, lambda some: self._dialect.send(self._far_side, some))
        if reasons:
            raise SinkRefused(reasons)

    def close(self) -> None:
        """Let go of the connection."""
        self._far_side.close()


class _Error(msgspec.Struct):
    type: str = "unknown"


class _Done(msgspec.Struct):
    status: int
    id: str = msgspec.field(name="_id", default="")
    error: _Error | None = None


class _Item(msgspec.Struct):
    index: _Done


class _Bulk(msgspec.Struct):
    items: list[_Item]


class OpenSearch:
    """The bulk API of OpenSearch, which Elasticsearch has too: each document has an outcome of its own."""

    def __init__(self, index: str) -> None:
        self._index = index

    def send(self, far_side: FarSide, documents: Documents) -> Mapping[str, str] | str:
        """Put documents in with one request. A document that fits no mapping is refused; one that there is no room for comes again."""
        lines = [msgspec.json.encode({"index": {"_id": key}}) + b"\n" + body for key, body in documents.items()]
        answer = far_side.post(f"/{self._index}/_bulk", b"\n".join(lines) + b"\n", _NDJSON)
        if not answer.is_success:
            return _status_of(answer)
        outcomes = [item.index for item in _decoded(answer, _Bulk, far_side).items]
        if [outcome.id for outcome in outcomes] != list(documents):
            raise SinkUnavailable(f"{far_side.where} does not say what became of each document")
        for outcome in outcomes:
            if outcome.status not in (200, 201, 400):
                raise SinkUnavailable(f"{far_side.where} answers {outcome.status} for a document: {_type_of(outcome)}")
        return {outcome.id: f"does not fit: {_type_of(outcome)}" for outcome in outcomes if outcome.status == 400}


class _Enqueued(msgspec.Struct, rename="camel"):
    task_uid: int


class _TaskError(msgspec.Struct):
    code: str = "unknown"
    type: str = "unknown"


class _Task(msgspec.Struct):
    status: str
    error: _TaskError | None = None


class Meilisearch:
    """Meilisearch takes a batch as a task, which succeeds or fails as a whole some time later. `pause` waits for so many seconds.

    A task that took longer than we waited is asked for again when the same batch comes again, and not made a second time.
    """

    def __init__(self, index: str, pause: Callable[[float], None] = time.sleep) -> None:
        self._index = index
        self._pause = pause
        self._unfinished: dict[frozenset[str], int] = {}

    def send(self, far_side: FarSide, documents: Documents) -> Mapping[str, str] | str:
        """Put documents in and wait for their task."""
        uid = self._unfinished.pop(frozenset(documents), None)
        if uid is None:
            path = f"/indexes/{self._index}/documents?primaryKey=receipt_id"
            answer = far_side.post(path, b"\n".join(documents.values()) + b"\n", _NDJSON)
            if not answer.is_success:
                return _status_of(answer)
            uid = _decoded(answer, _Enqueued, far_side).task_uid
        task = self._wait(far_side, uid, frozenset(documents))
        if task.status == "succeeded":
            return {}
        error = task.error or _TaskError()
        if error.type != "invalid_request":
            raise SinkUnavailable(f"{far_side.where}: a task has {task.status}: {error.code}")
        return f"does not fit: {error.code}"

    def _wait(self, far_side: FarSide, uid: int, keys: frozenset[str]) -> _Task:
        """The task when it is over. Raises: SinkUnavailable, also when the time for a batch is."""
        seconds = 0.01
        while True:
            task = _decoded(far_side.get(f"/tasks/{uid}"), _Task, far_side)
            if task.status not in ("enqueued", "processing"):
                self._unfinished.clear()
                return task
            self._unfinished = {keys: uid}
            self._pause(seconds)
            seconds = min(1.0, seconds * 2)


def _document(receipt: Receipt) -> bytes:
    said = {name: value for name, value in row_of(receipt).items() if value not in (None, ())}
    return msgspec.json.encode(said)


def _decoded(answer: Answer, kind: type[_T], far_side: FarSide) -> _T:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except _UNREADABLE as error:
        raise SinkUnavailable(f"{far_side.where} is no search engine of this dialect") from error


def _status_of(answer: Answer) -> str:
    return f"the engine answers HTTP {answer.status}"


def _type_of(outcome: _Done) -> str:
    """The kind of an error: its words may quote the document."""
    return outcome.error.type if outcome.error else "unknown"

"""Stand-ins for two search engines: the part of their APIs by which documents are put in, as their documentation has it.

No real engine can be installed from where these tests run. What they refuse is a document of the session `refused`.
"""

import json
from itertools import count
from typing import Any

from tests.support.receiver import Asked, Receiver, Reply

INDEX = "receipts"


class FakeOpenSearch:
    """The bulk API. `statuses` are what documents are answered with instead of being taken, by id."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.statuses: dict[str, int] = {}
        self.receiver = Receiver(self._take)

    def _take(self, asked: Asked) -> Reply:
        assert (asked.method, asked.path) == ("POST", f"/{INDEX}/_bulk")
        assert asked.headers["content-type"] == "application/x-ndjson"
        assert asked.body.endswith(b"\n")
        lines = [json.loads(line) for line in asked.body.splitlines()]
        items = [self._put(action["index"]["_id"], line) for action, line in zip(lines[::2], lines[1::2], strict=True)]
        errors = any("error" in item for item in items)
        told = {"took": 1, "errors": errors, "items": [{"index": item} for item in items]}
        return Reply(body=json.dumps(told).encode())

    def _put(self, key: str, document: dict[str, Any]) -> dict[str, Any]:
        status = 400 if document.get("session_id") == "refused" else self.statuses.get(key)
        if status is None:
            result = "updated" if key in self.documents else "created"
            self.documents[key] = document
            return {"_index": INDEX, "_id": key, "result": result, "status": 200 if result == "updated" else 201}
        kind = "mapper_parsing_exception" if status == 400 else "rejected_execution_exception"
        error = {"type": kind, "reason": f"failed to parse '{document.get('session_id')}'"}
        return {"_index": INDEX, "_id": key, "status": status, "error": error}


class FakeMeilisearch:
    """Documents and tasks. A task is over when it has been asked for `asks_until_done` times; `fails_with` ends the next ones."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.posts = 0
        self.asks_until_done = 2
        self.fails_with: dict[str, str] | None = None
        self._tasks: dict[int, dict[str, Any]] = {}
        self._numbers = count()
        self.receiver = Receiver(self._take)

    def forget_tasks(self) -> None:
        self._tasks.clear()

    def _take(self, asked: Asked) -> Reply:
        if asked.method == "GET":
            return self._task(int(asked.path.removeprefix("/tasks/")))
        assert (asked.method, asked.path) == ("POST", f"/indexes/{INDEX}/documents?primaryKey=receipt_id")
        assert asked.headers["content-type"] == "application/x-ndjson"
        self.posts += 1
        number = next(self._numbers)
        documents = [json.loads(line) for line in asked.body.splitlines()]
        self._tasks[number] = {"documents": documents, "asked": 0}
        told = {"taskUid": number, "indexUid": INDEX, "status": "enqueued", "type": "documentAdditionOrUpdate"}
        return Reply(202, json.dumps(told).encode())

    def _task(self, number: int) -> Reply:
        task = self._tasks.get(number)
        if task is None:
            return Reply(404, b'{"code": "task_not_found", "type": "invalid_request"}')
        task["asked"] += 1
        told: dict[str, Any] = {"uid": number, "status": "processing", "error": None}
        if task["asked"] >= self.asks_until_done:
            told |= self._outcome(task["documents"])
        return Reply(body=json.dumps(told).encode())

    def _outcome(self, documents: list[dict[str, Any]]) -> dict[str, Any]:
        refused = {"code": "invalid_document_fields", "type": "invalid_request", "message": "the document `refused`"}
        error = refused if any(one.get("session_id") == "refused" for one in documents) else self.fails_with
        if error is not None:
            return {"status": "failed", "error": error}
        self.documents |= {document["receipt_id"]: document for document in documents}
        return {"status": "succeeded"}

"""Both dialects of search engines keep the sink contract, at stand-ins that answer as the engines' documentation says."""

from collections.abc import Iterator

import msgspec
import pytest

from tests.support.search_engines import INDEX, FakeMeilisearch, FakeOpenSearch
from wardwright.sinks.far_side import FarSide
from wardwright.sinks.search import Meilisearch, OpenSearch, SearchSink
from wardwright.testing.sink_suite import *


class EngineBench:
    """An engine that refuses documents of the session `refused`."""

    secrets = ("Bearer hush",)

    def __init__(self, engine: FakeOpenSearch | FakeMeilisearch) -> None:
        self.engine = engine

    def make(self) -> SearchSink:
        environ = {"KEY": self.secrets[0]}
        far_side = FarSide(self.engine.receiver.url, headers_env={"authorization": "KEY"}, environ=environ, timeout_s=5)
        dialect = OpenSearch(INDEX) if isinstance(self.engine, FakeOpenSearch) else Meilisearch(INDEX)
        return SearchSink(far_side, INDEX, dialect)

    def arrived(self) -> list[Arrived]:
        return [Arrived(key) for key in self.engine.documents]

    def break_down(self) -> None:
        self.engine.receiver.stop()

    def mend(self) -> None:
        self.engine.receiver.start()

    def refused(self, record: Record) -> Record | None:
        receipt = msgspec.json.decode(record.body)
        receipt["caller"]["session_id"] = {"value": "refused", "source": "header"}
        return record._replace(body=msgspec.json.encode(receipt))


@pytest.fixture(params=[FakeOpenSearch, FakeMeilisearch], ids=["opensearch", "meilisearch"])
def sink(request: pytest.FixtureRequest) -> Iterator[EngineBench]:
    bench = EngineBench(request.param())
    yield bench
    bench.engine.receiver.stop()

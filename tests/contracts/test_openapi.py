"""`contracts/openapi.yaml` and the code are of one mind: routes, error codes, parameters, fields; what is accepted and what is refused."""

import inspect
import json
from typing import Any, get_args
from unittest.mock import Mock

import jsonschema
import msgspec
import pytest
from starlette.routing import Route

from supervisors.inspect import Status
from tests.contracts.openapi import BASE, COMPONENTS, DOCUMENT, OPERATIONS, TEXT, check, nodes, registry, resolved
from wardwright.domain.caller import Caller
from wardwright.domain.errors import RequestError
from wardwright.domain.tools import ToolPhase, ToolSource
from wardwright.edge.app import build_app
from wardwright.edge.errors import STATUS_BY_CODE
from wardwright.ports.provider import ProviderInfo
from wardwright.ports.storage import StoreHealth
from wardwright.receipts.events import FinalStatus
from wardwright.receipts.query import TOOL_FIELDS, Page, ReceiptFilter
from wardwright.receipts.receipt import Summary
from wardwright.runtime.visible import TOPICS
from wardwright.wire.caller import parse_caller
from wardwright.wire.openai import parse_chat_request

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]


class TestDocument:
    def test_it_is_plain_json_in_one_form(self) -> None:
        assert json.dumps(DOCUMENT, indent=2, ensure_ascii=False) + "\n" == TEXT

    def test_every_reference_leads_somewhere(self) -> None:
        resolver = registry().resolver(BASE + "openapi.yaml")
        references = [node["$ref"] for _, node in nodes(DOCUMENT) if "$ref" in node]
        assert len(references) > 100
        for reference in references:
            resolver.lookup(reference)

    def test_every_component_is_used(self) -> None:
        used = {node["$ref"] for _, node in nodes(DOCUMENT) if "$ref" in node}
        declared = {f"#/components/{kind}/{name}" for kind, named in COMPONENTS.items() for name in named}
        schemes = {f"#/components/securitySchemes/{name}" for name in COMPONENTS["securitySchemes"]}
        # A method that no endpoint has is answered by the router, outside every operation.
        assert declared - used - schemes == {"#/components/responses/MethodNotAllowed"}

    def test_every_schema_is_a_schema(self) -> None:
        found = [node for pointer, node in nodes(DOCUMENT) if pointer.endswith("/schema")]
        for schema in [*found, *COMPONENTS["schemas"].values()]:
            jsonschema.Draft202012Validator.check_schema(schema)

    def test_operations_have_ids_of_their_own_and_declared_tags(self) -> None:
        ids = [operation["operationId"] for operation in OPERATIONS.values()]
        assert len(set(ids)) == len(ids)
        declared = {tag["name"] for tag in DOCUMENT["tags"]}
        assert {tag for operation in OPERATIONS.values() for tag in operation["tags"]} == declared

    def test_every_path_parameter_is_declared(self) -> None:
        for (_, path), operation in OPERATIONS.items():
            declared = {p["name"] for p in map(resolved, operation.get("parameters", ())) if p["in"] == "path"}
            assert declared == {part[1:-1] for part in path.split("/") if part.startswith("{")}


class TestSameAsTheCode:
    def test_every_route_is_documented_and_every_documented_one_exists(self) -> None:
        # What stands behind the routes does not matter here: they are read, and nothing is called.
        app = build_app(**{name: Mock() for name in inspect.signature(build_app).parameters})
        routes = {
            (method, route.path_format)
            for route in app._router.routes
            if isinstance(route, Route)
            for method in (route.methods or set()) - {"HEAD"}
        }
        assert routes == set(OPERATIONS)

    def test_every_error_code_is_listed(self) -> None:
        assert COMPONENTS["schemas"]["ErrorCode"]["enum"] == list(STATUS_BY_CODE)

    def test_every_error_answer_lists_the_codes_of_its_status(self) -> None:
        by_status: dict[str, list[str]] = {}
        for code, status in STATUS_BY_CODE.items():
            by_status.setdefault(str(status), []).append(code)
        referred = {
            (status, answer["$ref"].rpartition("/")[2])
            for operation in OPERATIONS.values()
            for status, answer in operation["responses"].items()
            if "$ref" in answer
        } | {("405", "MethodNotAllowed")}
        assert {status: codes_of(name) for status, name in referred} == by_status

    def test_every_answer_is_identified(self) -> None:
        answers = [answer for operation in OPERATIONS.values() for answer in operation["responses"].values()]
        answers += COMPONENTS["responses"].values()
        assert [answer for answer in map(resolved, answers) if "x-request-id" not in answer["headers"]] == []

    def test_enumerations_are_those_of_the_types(self) -> None:
        schemas = COMPONENTS["schemas"]
        assert schemas["ReceiptSummary"]["properties"]["status"]["enum"] == [*get_args(FinalStatus), None]
        [topic] = (p for p in OPERATIONS["GET", "/admin/events"]["parameters"] if p["name"] == "topic")
        assert topic["schema"]["items"]["enum"] == list(TOPICS)
        assert schemas["ActorFacts"]["properties"]["status"]["enum"] == list(get_args(Status))

    @pytest.mark.parametrize(
        ("schema", "fields"),
        [
            ("ReceiptPage", Page.__struct_fields__),
            ("StorageHealth", (*StoreHealth.__struct_fields__, "writer", "snapshot")),
        ],
    )
    def test_schemas_of_types_have_their_fields(self, schema: str, fields: tuple[str, ...]) -> None:
        described = COMPONENTS["schemas"][schema]
        assert tuple(described["properties"]) == fields
        assert tuple(described["required"]) == fields

    def test_of_a_summary_what_is_known_of_tools_may_be_left_out(self) -> None:
        described = COMPONENTS["schemas"]["ReceiptSummary"]
        assert tuple(described["properties"]) == Summary.__struct_fields__
        assert described["required"] == [field.name for field in msgspec.structs.fields(Summary) if field.required]
        for name, known in (("tool_phase", ToolPhase), ("tool_source", ToolSource)):
            assert described["properties"][name]["enum"] == list(get_args(known))

    def test_a_provider_always_shows_what_it_is(self) -> None:
        described = COMPONENTS["schemas"]["Provider"]
        assert described["required"] == list(described["properties"])
        assert tuple(described["required"])[: len(ProviderInfo.__struct_fields__)] == ProviderInfo.__struct_fields__

    def test_every_caller_header_has_its_effect_and_none_is_missing(self) -> None:
        request = parse_chat_request(b'{"model": "m", "messages": [{"role": "user"}]}')
        headers = [parameter["name"] for parameter in COMPONENTS["parameters"].values()]
        named = [parse_caller({header: "someone"}, request, None) for header in headers]
        assert len(set(map(str, named))) == len(headers)
        assert Caller() not in named
        assert len(headers) == len(set(Caller.__struct_fields__) - {"anonymous_id", "tags", "erased"})

    def test_every_filter_has_its_effect(self) -> None:
        for path in ("/v1/receipts", "/v1/runs/{run_id}/receipts"):
            parameters = [p["name"] for p in OPERATIONS["GET", path]["parameters"]]
            filters = set(parameters) - {"limit", "cursor"}
            assert {name for name in filters if ReceiptFilter.parse({name: "7"}) == ReceiptFilter()} == set()
            fields = set(Summary.__struct_fields__) - {"receipt_id", "receipt_schema", "created_at", "caller"}
            assert filters == fields | {"model", "created_at_min", "created_at_max", *TOOL_FIELDS}


def codes_of(response: str) -> list[str]:
    """The codes that an error answer lists."""
    narrowed = COMPONENTS["responses"][response]["content"]["application/json"]["schema"]["allOf"][1]
    listed: list[str] = narrowed["properties"]["error"]["properties"]["code"]["enum"]
    return listed


class TestRequests:
    @pytest.mark.parametrize(
        "body",
        [
            {"model": "m", "messages": HELLO},
            {"model": "m", "messages": [{"role": "tool", "content": None, "tool_calls": [1]}], "stream": None},
            {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "x"}]}]},
            {"model": "m", "messages": HELLO, "n": 2, "tools": [{}], "unheard_of": {"of": 1}, "metadata": 3},
            {"model": "m", "messages": HELLO, "stream_options": None, "max_tokens": 0, "user": None},
        ],
    )
    def test_what_is_accepted_is_valid(self, body: dict[str, Any]) -> None:
        parse_chat_request(json.dumps(body).encode())
        check(body, "/components/schemas/ChatCompletionRequest")

    @pytest.mark.parametrize(
        "body",
        [
            [],
            {},
            {"model": "m"},
            {"model": "m", "messages": []},
            {"model": " ", "messages": HELLO},
            {"model": 1, "messages": HELLO},
            {"model": "m", "messages": [{"content": "x"}]},
            {"model": "m", "messages": [{"role": "user", "content": 1}]},
            {"model": "m", "messages": HELLO, "stream": "yes"},
            {"model": "m", "messages": HELLO, "max_tokens": "many"},
            {"model": "m", "messages": HELLO, "tools": {}},
            {"model": "m", "messages": HELLO, "stream_options": []},
        ],
    )
    def test_what_is_refused_is_invalid(self, body: object) -> None:
        with pytest.raises(RequestError):
            parse_chat_request(json.dumps(body).encode())
        with pytest.raises(jsonschema.ValidationError):
            check(body, "/components/schemas/ChatCompletionRequest")

"""The contracts are valid OpenAPI 3.0.3, offer the same in common, and fit the core and the handlers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator

from dg.api import contract, platform
from dg.api.app import HANDLERS, bind
from dg.api.contract import ContractError
from dg.core.deployments.models import Kind, LaneState, Reason, Status, StepStatus
from dg.core.deployments.previews import PreviewVerdict, RollbackVerdict
from dg.core.types import Environment

DOCUMENTS = {name: contract.load(name) for name in contract.NAMES}
named = pytest.mark.parametrize("name", contract.NAMES)

COMMON = {
    "securitySchemes": {"bearerAuth"},
    "parameters": {"AcceptVersion", "IdempotencyKey", "Cursor", "Limit"},
    "headers": {
        *("X-Request-Id", "API-Version", "RateLimit", "RateLimit-Policy"),
        *("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-RateLimit-Window"),
        *("Retry-After", "WWW-Authenticate", "Location", "ETag"),
    },
    "responses": {
        *("BadRequest", "Unauthorized", "Forbidden", "NotFound", "TooSlow", "Conflict", "TooLarge"),
        *("UnsupportedMedia", "Mismatch", "TooManyRequests", "InternalError", "Unavailable"),
    },
    "schemas": {
        *("ApiVersion", "EnvironmentName", "ServiceName", "Cursor", "ErrorCode", "ErrorResponse"),
        "RateLimit",
    },
}
"""What every contract offers to its operations, whether one of them has need of it yet or not."""

EVERYWHERE = {"X-Request-Id", "API-Version"}
LIMITED = {name for name in COMMON["headers"] if "RateLimit" in name}


def operations(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in DOCUMENTS[name]["paths"].values():
        for method in contract.METHODS:
            if method in item:
                yield item[method]["operationId"], item[method]


def walk(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


@named
def test_contract_is_valid_openapi(name: str) -> None:
    OpenAPIV30SpecValidator(DOCUMENTS[name]).validate()
    assert DOCUMENTS[name]["security"] == [{"bearerAuth": []}]


@named
def test_every_contract_has_the_common_components(name: str) -> None:
    for kind, expected in COMMON.items():
        assert expected <= DOCUMENTS[name]["components"][kind].keys()


@named
def test_every_component_of_its_own_is_used(name: str) -> None:
    document = DOCUMENTS[name]
    used = {node["$ref"] for node in walk(document) if "$ref" in node}
    for kind in ("parameters", "headers", "responses", "schemas"):
        for component in document["components"][kind].keys() - COMMON[kind]:
            assert f"#/components/{kind}/{component}" in used


@named
def test_every_answer_documents_the_headers_that_it_has(name: str) -> None:
    document = DOCUMENTS[name]
    for identity, operation in operations(name):
        for status, given in operation["responses"].items():
            headers = contract.resolve(document, given).get("headers", {})
            expected = EVERYWHERE if identity == "getHealth" else EVERYWHERE | LIMITED
            assert expected <= headers.keys(), (identity, status)
            for header in headers:
                assert headers[header] == {"$ref": f"#/components/headers/{header}"}, (identity, status)


@named
def test_enums_are_components_and_no_object_is_called_a_status(name: str) -> None:
    """Generators name an inline enum after its field and then collide with an object of that name."""
    schemas = DOCUMENTS[name]["components"]["schemas"]
    assert all(
        "enum" not in prop for schema in schemas.values() for prop in schema.get("properties", {}).values()
    )
    assert all(schema["type"] != "object" for title, schema in schemas.items() if title.endswith("Status"))


@named
def test_no_time_was_read_as_a_date(name: str) -> None:
    for node in walk(DOCUMENTS[name]):
        assert not any(hasattr(value, "isoformat") for value in node.values())


@named
def test_every_operation_says_what_can_go_wrong(name: str) -> None:
    for identity, operation in operations(name):
        expected = {"400", "500", "503"} if identity == "getHealth" else {"400", "429", "500", "503"}
        if operation.get("security") != []:
            expected |= {"401"}
        if "requestBody" in operation:
            expected |= {"408", "413", "415"}
        if any(ref.get("$ref", "").endswith("/IdempotencyKey") for ref in operation.get("parameters", ())):
            expected |= {"409", "422"}
        assert expected <= operation["responses"].keys(), identity


def test_enums_are_those_of_the_core() -> None:
    schemas = DOCUMENTS["deployment-automation-api"]["components"]["schemas"]
    for name, enum in {
        "EnvironmentName": Environment,
        "DeploymentStatus": Status,
        "DeploymentKind": Kind,
        "FailureReason": Reason,
        "StepState": StepStatus,
        "LaneState": LaneState,
        "PreviewVerdict": PreviewVerdict,
        "RollbackVerdict": RollbackVerdict,
    }.items():
        assert schemas[name]["enum"] == [item.value for item in enum] or name == "LaneState"
        assert set(schemas[name]["enum"]) == {item.value for item in enum}
    assert DOCUMENTS["platform-api"]["components"]["schemas"]["ContractName"]["enum"] == list(contract.NAMES)


def test_a_missing_handler_stops_the_start() -> None:
    loaded = [op for name in contract.NAMES for op in contract.operations(DOCUMENTS[name])]
    fewer = {name: handler for name, handler in HANDLERS.items() if name != "getLane"}
    with pytest.raises(ContractError, match="without a handler: getLane"):
        bind(loaded, fewer)


def test_a_surplus_handler_stops_the_start() -> None:
    loaded = [op for name in contract.NAMES for op in contract.operations(DOCUMENTS[name])]
    with pytest.raises(ContractError, match="without an operation: getMoon"):
        bind(loaded, {**HANDLERS, "getMoon": platform.whoami})


def test_contracts_and_handlers_fit_one_to_one() -> None:
    loaded = [op for name in contract.NAMES for op in contract.operations(DOCUMENTS[name])]
    assert len(bind(loaded, HANDLERS)) == len(HANDLERS)

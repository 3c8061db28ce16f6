"""What the specification writes down stands in the contracts as written, each operation once it works."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from dg.api import contract, gateway
from dg.api.app import UNVERSIONED

SPECIFICATION = yaml.safe_load(Path(__file__).with_name("specification.yaml").read_text("utf-8"))
DOCUMENTS = {name: contract.load(name) for name in contract.NAMES}
WORK = {
    ("/deployments", "post"): "createDeployment",
    ("/deployments/{id}/status", "get"): "getDeploymentStatus",
    ("/environments/{name}", "put"): "updateEnvironment",
    ("/environments/{name}/health", "get"): "getEnvironmentHealth",
}
"""The specification's operations that dg has, and their ids."""

PROMISED = [
    (path, method, operation)
    for path, item in SPECIFICATION["paths"].items()
    for method, operation in item.items()
]


def deviations(
    promised: Mapping[str, Any], found: Mapping[str, Any], document: contract.Document, where: str = ""
) -> Iterator[str]:
    """Where the schema `found` does not keep what `promised` says; it may say more."""
    if "$ref" in promised and promised["$ref"] == found.get("$ref"):
        return
    promised, found = contract.resolve(SPECIFICATION, promised), contract.resolve(document, found)
    for keyword in promised.keys() & {"type", "format", "enum", "default"}:
        if found.get(keyword) != promised[keyword]:
            yield f"{where}: {keyword} is {found.get(keyword)}, not {promised[keyword]}"
    if missing := set(promised.get("required", ())) - set(found.get("required", ())):
        yield f"{where}: {missing} may be left out"
    for name, schema in promised.get("properties", {}).items():
        if name in found.get("properties", {}):
            yield from deviations(schema, found["properties"][name], document, f"{where}.{name}")
        else:
            yield f"{where}: there is no {name}"
    if "items" in promised:
        yield from deviations(promised["items"], found.get("items", {}), document, f"{where}[]")


def placed(path: str, method: str) -> tuple[contract.Document, dict[str, Any]] | None:
    """The operation as dg has it, with its path's parameters."""
    for document in DOCUMENTS.values():
        item = document["paths"].get(path, {})
        if operation := item.get(method):
            parameters = [*item.get("parameters", ()), *operation.get("parameters", ())]
            return document, {**operation, "parameters": parameters}
    return None


def test_what_works_is_known() -> None:
    found = {(path, method): placed(path, method) for path, method, _ in PROMISED}
    assert {key: place[1]["operationId"] for key, place in found.items() if place} == WORK


@pytest.mark.parametrize(("path", "method"), WORK)
def test_an_operation_stands_as_it_is_written(path: str, method: str) -> None:
    place = placed(path, method)
    assert place
    document, found = place
    promised = SPECIFICATION["paths"][path][method]
    assert found["summary"] == promised["summary"]
    parameters = {
        (each["name"], each["in"]): each
        for each in (contract.resolve(document, parameter) for parameter in found["parameters"])
    }
    for parameter in promised.get("parameters", ()):
        same = parameters[parameter["name"], parameter["in"]]
        assert same.get("required", False) == parameter.get("required", False)
        assert not list(deviations(parameter["schema"], same["schema"], document, parameter["name"]))
    if "requestBody" in promised:
        assert found["requestBody"]["required"] is promised["requestBody"]["required"]
        assert not list(deviations(*_bodies(promised["requestBody"], found["requestBody"]), document))
    for status, answer in promised["responses"].items():
        assert found["responses"][status]["description"] == answer["description"]
        assert not list(deviations(*_bodies(answer, found["responses"][status]), document))
    assert found.get("security", document["security"]) == SPECIFICATION["security"]


def _bodies(promised: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[Any, Any]:
    return tuple(each["content"]["application/json"]["schema"] for each in (promised, found))


@pytest.mark.parametrize("name", SPECIFICATION["components"]["schemas"])
def test_a_model_stands_as_it_is_written_wherever_it_stands(name: str) -> None:
    schema = SPECIFICATION["components"]["schemas"][name]
    holders = [document for document in DOCUMENTS.values() if name in document["components"]["schemas"]]
    assert holders
    for document in holders:
        assert not list(deviations(schema, document["components"]["schemas"][name], document, name))


def test_a_deviation_is_found() -> None:
    document = DOCUMENTS["deployment-automation-api"]
    model = SPECIFICATION["components"]["schemas"]["Deployment"]
    properties = {**model["properties"], "status": {"type": "string", "enum": ["pending"]}}
    del properties["build_time"]
    other = {"type": "object", "required": ["id"], "properties": properties}
    assert min(deviations(model, other, document, "Deployment")).startswith("Deployment.status: enum is")
    assert len(list(deviations(model, other, document, "Deployment"))) == 3


@pytest.mark.parametrize("name", contract.NAMES)
def test_the_token_is_the_specification_s(name: str) -> None:
    found = DOCUMENTS[name]["components"]["securitySchemes"]["bearerAuth"]
    assert SPECIFICATION["components"]["securitySchemes"]["bearerAuth"].items() <= found.items()
    assert found["description"].startswith("JWT token from Clerk authentication")
    assert DOCUMENTS[name]["servers"][0] == {
        "url": "https://api.legacyguard.app/v1",
        "description": "Production server",
    }


def test_the_gateway_s_table_is_the_specification_s_and_that_of_the_real_routes() -> None:
    table = {route.path: route for route in gateway.routes()}
    not_yet = {document["info"]["x-service"] for document in DOCUMENTS.values() if not document["paths"]}
    for promised in SPECIFICATION["api_gateway"]["routes"]:
        if promised["path"] in table:
            assert table[promised["path"]].entry() == promised
        else:
            assert promised["service"] in not_yet
    operations = [op for name in contract.NAMES for op in contract.operations(DOCUMENTS[name])]
    real = {(f"/v1/{operation.path.split('/')[1]}", operation.method) for operation in operations}
    listed = {
        (route.path, method) for route in table.values() for method in route.methods if "/v1/" in route.path
    }
    assert listed == real


def test_the_gateway_lets_monitors_readers_and_the_websocket_through() -> None:
    paths = [route.path for route in gateway.routes()]
    assert set(SPECIFICATION["monitoring"]["endpoints"]) == set(UNVERSIONED)
    assert {*UNVERSIONED, "/ws/deployments", "/docs"} <= set(paths)
    assert len(paths) == len(set(paths))

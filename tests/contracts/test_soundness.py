"""What `dg contracts validate` finds, what it leaves alone, and what is made of the examples."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator

from dg.api import contract, samples, soundness
from dg.api.bundle import bundle
from dg.api.contract import Schema

DOCUMENTS = {name: contract.load(name) for name in contract.NAMES}
NAME = "deployment-automation-api"
Document = dict[str, Any]

PLANTED: dict[str, tuple[Callable[[Document], object], str]] = {}


def mistake(sentence: str) -> Callable[[Callable[[Document], object]], Callable[[Document], object]]:
    def keep(plant: Callable[[Document], object]) -> Callable[[Document], object]:
        PLANTED[plant.__name__] = (plant, sentence)
        return plant

    return keep


def created(document: Document) -> Document:
    operation: Document = document["paths"]["/deployments"]["post"]
    return operation


@mistake("the operationId getLane is not its own")
def twice_the_same_id(document: Document) -> None:
    created(document)["operationId"] = "getLane"


@mistake("the example does not fit: environment must be one of development, staging, production")
def an_example_of_another_shape(document: Document) -> None:
    body = created(document)["requestBody"]["content"]["application/json"]
    body["example"]["environment"] = "moon"


@mistake("the example does not fit: the body must be of type integer")
def a_property_s_example_of_another_type(document: Document) -> None:
    document["components"]["schemas"]["RateLimit"]["properties"]["limit"]["example"] = "many"


@mistake("the security scheme apiKey is not defined")
def an_unknown_security_scheme(document: Document) -> None:
    created(document)["security"] = [{"apiKey": []}]


@mistake("the path parameter id stands in the path or among the parameters only")
def an_undeclared_path_parameter(document: Document) -> None:
    document["paths"]["/deployments/{id}"]["parameters"].pop()


@mistake("may be null: a field without a value is left out")
def a_type_of_a_later_openapi(document: Document) -> None:
    document["components"]["schemas"]["Deployment"]["properties"]["number"]["type"] = ["integer", "null"]


@mistake("#/components/schemas/Moon leads nowhere")
def a_broken_reference(document: Document) -> None:
    document["components"]["schemas"]["Deployment"]["properties"]["moon"] = {
        "$ref": "#/components/schemas/Moon"
    }


@mistake("has no answer for when it goes well")
def no_answer(document: Document) -> None:
    del created(document)["responses"]["201"]


@mistake("the link GetDeployment leads to getMoon, which is no operation here")
def a_link_to_nothing(document: Document) -> None:
    created(document)["responses"]["201"]["links"]["GetDeployment"]["operationId"] = "getMoon"


@mistake("the link GetDeployment gives moon, which getDeployment does not take")
def a_link_with_a_parameter_too_many(document: Document) -> None:
    created(document)["responses"]["201"]["links"]["GetDeployment"]["parameters"]["moon"] = "1"


@mistake("moon is required and not among the properties")
def a_required_property_that_is_none(document: Document) -> None:
    document["components"]["schemas"]["Deployment"]["required"].append("moon")


@mistake("the tag moon is not declared")
def an_undeclared_tag(document: Document) -> None:
    created(document)["tags"] = ["moon"]


@mistake("has no summary")
def no_summary(document: Document) -> None:
    del created(document)["summary"]


@mistake("is not the same as in deployment-automation-api")
def a_common_component_of_its_own(document: Document) -> None:
    document["components"]["responses"]["NotFound"]["description"] = "Nowhere"


def test_the_contracts_are_sound() -> None:
    assert list(soundness.findings(DOCUMENTS)) == []


@pytest.mark.parametrize("plant", PLANTED)
def test_a_mistake_is_found(plant: str) -> None:
    change, sentence = PLANTED[plant]
    document = copy.deepcopy(DOCUMENTS[NAME])
    change(document)  # type: ignore[arg-type]
    found = list(soundness.findings({**DOCUMENTS, NAME: document}))
    assert sentence in [finding.sentence for finding in found]
    assert len(found) <= len(DOCUMENTS)


@pytest.mark.parametrize("name", contract.NAMES)
def test_what_is_made_of_the_examples_fits(name: str) -> None:
    """And it is made of them: no text that only stands in for one."""
    document = DOCUMENTS[name]
    for where, operation, _ in soundness.operations(document):
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        for given in (*bodies, *operation["responses"].values()):
            for media in contract.resolve(document, given).get("content", {}).values():
                made = samples.of_media(media, document)
                assert Schema(media["schema"], document).mistakes(made) == [], where
                assert "text" not in list(_leaves(made)), where


def _leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in _leaves(each)]
    if isinstance(value, list):
        return [leaf for each in value for leaf in _leaves(each)]
    return [value]


def test_a_sample_is_the_nearest_that_the_schema_says() -> None:
    document = {"components": {"schemas": {"Colour": {"type": "string", "enum": ["red", "blue"]}}}}
    colour = {"$ref": "#/components/schemas/Colour"}
    for schema, value in (
        (colour, "red"),
        ({"type": "integer", "minimum": 7}, 7),
        ({"type": "number", "maximum": 0.5}, 0.5),
        ({"type": "string", "format": "uuid"}, samples.FORMATS["uuid"]),
        ({"type": "array", "items": colour, "minItems": 2}, ["red", "red"]),
        ({"oneOf": [colour, {"type": "integer"}]}, "red"),
        ({"type": "boolean", "default": True}, True),
        (
            {
                "type": "object",
                "required": ["a"],
                "properties": {"a": colour, "b": colour, "c": {"type": "string", "example": "x"}},
            },
            {"a": "red", "c": "x"},
        ),
    ):
        assert samples.of_schema(schema, document) == value


def test_the_bundle_is_one_valid_document_with_everything() -> None:
    whole = bundle(DOCUMENTS)
    OpenAPIV30SpecValidator(whole).validate()
    assert list(soundness.findings({"all": whole})) == []
    ids = [operation.id for document in DOCUMENTS.values() for operation in contract.operations(document)]
    assert [operation.id for operation in contract.operations(whole)] == ids

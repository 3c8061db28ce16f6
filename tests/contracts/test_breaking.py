"""The contracts break no client of the released ones; and what breaks a client at all, line by line."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.contracts.breaking import breaks

from dg.api import contract

RELEASED = Path(__file__).with_name("released")
RENEW = (
    "this breaks clients of the released contracts: keep the old beside the new, or raise the major version. "
    "docs/contracts.md says what counts, and when the copy in tests/contracts/released is renewed"
)
Document = dict[str, Any]
Change = Callable[[Document], object]

BREAKING: dict[str, tuple[Change, str]] = {}
HARMLESS: dict[str, Change] = {}


def breaking(sentence: str) -> Callable[[Change], Change]:
    def keep(change: Change) -> Change:
        BREAKING[change.__name__] = (change, sentence)
        return change

    return keep


def harmless(change: Change) -> Change:
    HARMLESS[change.__name__] = change
    return change


@pytest.fixture(scope="module")
def document() -> Document:
    loaded: Document = yaml.safe_load(
        """
        openapi: 3.0.3
        security: [{bearerAuth: []}]
        paths:
          /things:
            get:
              operationId: listThings
              parameters:
                - {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 100, default: 50}}
                - {name: colour, in: query, schema: {$ref: '#/components/schemas/Colour'}}
              responses:
                '200':
                  headers: {ETag: {schema: {type: string}}}
                  content:
                    application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Thing'}}}
                    text/csv: {schema: {type: string}}
            post:
              operationId: makeThing
              security: [{bearerAuth: []}, {apiKey: []}]
              requestBody:
                content: {application/json: {schema: {$ref: '#/components/schemas/MakeThing'}}}
              responses:
                '201': {content: {application/json: {schema: {$ref: '#/components/schemas/Thing'}}}}
                '409': {description: taken}
          /health:
            get:
              operationId: getHealth
              security: []
              responses: {'200': {description: ok}}
        components:
          schemas:
            Colour: {type: string, enum: [red, blue]}
            State: {type: string, enum: [new, used]}
            MakeThing:
              type: object
              additionalProperties: false
              required: [name]
              properties:
                name: {type: string, maxLength: 10}
                colour: {$ref: '#/components/schemas/Colour'}
                size: {type: number}
            Thing:
              type: object
              required: [name, state]
              properties:
                name: {type: string}
                state: {$ref: '#/components/schemas/State'}
                version: {type: string}
                weight: {type: number}
                made_at: {type: string, format: date-time}
                parts: {type: array, items: {$ref: '#/components/schemas/Thing'}}
        """
    )
    return loaded


def schema(document: Document, name: str) -> Document:
    found: Document = document["components"]["schemas"][name]
    return found


def listing(document: Document) -> Document:
    found: Document = document["paths"]["/things"]["get"]
    return found


def making(document: Document) -> Document:
    found: Document = document["paths"]["/things"]["post"]
    return found


@breaking("POST /things: was removed")
def an_operation_removed(document: Document) -> None:
    del document["paths"]["/things"]["post"]


@breaking("POST /things: the body: owner is required")
def a_required_field_of_a_request(document: Document) -> None:
    schema(document, "MakeThing")["properties"]["owner"] = {"type": "string"}
    schema(document, "MakeThing")["required"].append("owner")


@breaking("POST /things: the answer 201: version was removed")
def a_field_of_an_answer_removed(document: Document) -> None:
    del schema(document, "Thing")["properties"]["version"]


@breaking("POST /things: weight: the type is another")
def another_type_of_an_answer_s_field(document: Document) -> None:
    schema(document, "Thing")["properties"]["weight"] = {"type": "string"}


@breaking("POST /things: colour: red is no longer taken")
def a_choice_of_a_request_removed(document: Document) -> None:
    schema(document, "Colour")["enum"].remove("red")


@breaking("POST /things: state: it may be lost")
def a_choice_of_an_answer_added(document: Document) -> None:
    schema(document, "State")["enum"].append("lost")


@breaking("GET /things: the query parameter owner is required")
def a_required_parameter(document: Document) -> None:
    listing(document)["parameters"].append(
        {"name": "owner", "in": "query", "required": True, "schema": {"type": "string"}}
    )


@breaking("GET /things: limit: maximum is tighter")
def a_tighter_bound(document: Document) -> None:
    listing(document)["parameters"][0]["schema"]["maximum"] = 50


@breaking("POST /things: the answer 201 was removed")
def another_status(document: Document) -> None:
    answers = making(document)["responses"]
    answers["200"] = answers.pop("201")


@breaking("POST /things: the answer 201: state may be left out")
def a_promised_field_that_may_be_left_out(document: Document) -> None:
    schema(document, "Thing")["required"].remove("state")


@breaking("GET /health: no longer lets in by nothing")
def a_token_that_was_not_needed(document: Document) -> None:
    del document["paths"]["/health"]["get"]["security"]


@breaking("POST /things: version: it may be null")
def a_field_that_may_be_null(document: Document) -> None:
    schema(document, "Thing")["properties"]["version"]["nullable"] = True


@breaking("POST /things: no longer lets in by apiKey")
def a_way_to_prove_oneself_removed(document: Document) -> None:
    making(document)["security"].pop()


@breaking("GET /things: the query parameter colour was removed")
def a_parameter_removed(document: Document) -> None:
    listing(document)["parameters"].pop()


@breaking("GET /things: limit: left out, it means something else")
def another_default(document: Document) -> None:
    listing(document)["parameters"][0]["schema"]["default"] = 20


@breaking("POST /things: a body is required")
def a_body_that_was_not_needed(document: Document) -> None:
    making(document)["requestBody"]["required"] = True


@breaking("POST /things: the body: size is no longer taken")
def a_field_of_a_request_removed(document: Document) -> None:
    del schema(document, "MakeThing")["properties"]["size"]


@breaking("POST /things: size: the type is another")
def a_narrower_type_of_a_request(document: Document) -> None:
    schema(document, "MakeThing")["properties"]["size"]["type"] = "integer"


@breaking("POST /things: name: pattern is another")
def a_pattern_that_was_not_there(document: Document) -> None:
    schema(document, "MakeThing")["properties"]["name"]["pattern"] = "^[a-z]+$"


@breaking("GET /things: the answer 200 is no longer given as text/csv")
def a_form_of_an_answer_removed(document: Document) -> None:
    del listing(document)["responses"]["200"]["content"]["text/csv"]


@breaking("GET /things: the header ETag of 200 was removed")
def a_header_of_an_answer_removed(document: Document) -> None:
    del listing(document)["responses"]["200"]["headers"]["ETag"]


@breaking("GET /things: is called allThings, no longer listThings")
def another_operation_id(document: Document) -> None:
    listing(document)["operationId"] = "allThings"


@breaking("POST /things: made_at: format is another")
def another_format_of_an_answer(document: Document) -> None:
    del schema(document, "Thing")["properties"]["made_at"]["format"]


@harmless
def an_optional_field_of_a_request(document: Document) -> None:
    schema(document, "MakeThing")["properties"]["note"] = {"type": "string"}


@harmless
def an_operation_added(document: Document) -> None:
    document["paths"]["/more"] = {"get": {**listing(document), "operationId": "more"}}


@harmless
def a_field_of_an_answer_added(document: Document) -> None:
    schema(document, "Thing")["properties"]["owner"] = {"type": "string"}
    schema(document, "Thing")["required"].append("owner")


@harmless
def other_words(document: Document) -> None:
    listing(document)["summary"] = "List them"
    schema(document, "Thing")["description"] = "A thing"


@harmless
def an_optional_parameter(document: Document) -> None:
    listing(document)["parameters"].append({"name": "q", "in": "query", "schema": {"type": "string"}})


@harmless
def a_wider_request(document: Document) -> None:
    schema(document, "Colour")["enum"].append("green")
    schema(document, "MakeThing")["properties"]["name"]["maxLength"] = 20
    listing(document)["parameters"][0]["schema"]["maximum"] = 1000


@harmless
def a_narrower_answer(document: Document) -> None:
    schema(document, "Thing")["properties"]["weight"]["type"] = "integer"
    schema(document, "State")["enum"].remove("used")
    schema(document, "Thing")["required"].append("version")


@harmless
def an_error_more_or_less(document: Document) -> None:
    del making(document)["responses"]["409"]
    making(document)["responses"]["429"] = {"description": "slow down"}


@harmless
def another_way_to_prove_oneself(document: Document) -> None:
    document["security"].append({"apiKey": []})


@pytest.mark.parametrize("case", BREAKING)
def test_a_break_is_found(case: str, document: Document) -> None:
    change, sentence = BREAKING[case]
    new = copy.deepcopy(document)
    change(new)
    assert sentence in breaks(document, new)


@pytest.mark.parametrize("case", HARMLESS)
def test_what_breaks_nobody_passes(case: str, document: Document) -> None:
    new = copy.deepcopy(document)
    HARMLESS[case](new)
    assert new != document
    assert breaks(document, new) == []


@pytest.mark.parametrize("name", contract.NAMES)
def test_no_client_of_the_released_contracts_breaks(name: str) -> None:
    old = yaml.safe_load(RELEASED.joinpath(f"{name}.yaml").read_text("utf-8"))
    assert breaks(old, contract.load(name)) == [], RENEW

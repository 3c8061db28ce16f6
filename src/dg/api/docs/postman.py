"""The Postman collection and its environment, made from the contracts: `sdks/postman/` has a copy of them.

What one answer gives (an id) is kept for the requests that the contract's links lead to, so that the whole
collection runs from top to bottom.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from dg.api import samples
from dg.api.contract import Document, resolve
from dg.api.docs.joined import operations

FORMAT = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "dg/postman")

SAID = {"service": "shop", "environment": "development", "ref": "main"}
"""Fields and parameters whose value the environment says once for all requests."""
VARIABLES = {
    "baseUrl": "http://127.0.0.1:8470/v1",
    "token": "",
    **SAID,
    "newService": "postman-example",
    "repository": "https://git.example.com/shop.git",
}
TEXTS = {r'^service = "[^"]+"': 'service = "{{newService}}"', r'^git = "[^"]+"': 'git = "{{repository}}"'}
"""In the text of a pipeline: what is registered must not take the place of a real service's."""
LATER = "later"
SECRETS = ("device_code", "refresh_token")
"""Fields of answers that another request's body is to have: no link of a contract can say so."""
FIELDS = {
    **{name: name for name in (*SAID, *SECRETS)},
    "version": "ref",
    "not_before": LATER,
    "until": LATER,
}
"""Fields of bodies, with the variable that stands for them; `later` is ahead whenever a request is sent."""
MORE = {"createDeployment": {"not_before": LATER}}
"""Beside the contract's example: what only waits can be changed and taken back, and its lane is as it was."""
BODY = "$response.body#"
CONTENT_TYPE = {"key": "Content-Type", "value": "application/json"}

ABOUT = """\
Made from the contracts by `bin/generate`. Choose the environment, put a token into it, and send any request.
Sent as a whole, the collection makes a deployment in `environment` that would begin in an hour, acts on that
one, and rolls the lane back. What the state of things does not allow is answered by 409, what is gone already
by 404: both are as they should be. What asks for a signature in place of a token is answered by 401.
"""
AHEAD = 'pm.variables.set("later", new Date(Date.now() + 3600 * 1000).toISOString());'
CHECKS = """\
pm.test("succeeds, or says why not now", () => {
    const error = pm.response.code < 400 ? {} : pm.response.json().error;
    const unsigned = pm.request.auth && pm.request.auth.type === "noauth" ? [401] : [];
    pm.expect([200, 201, 202, 204, 404, 409, ...unsigned], error.message).to.include(pm.response.code);
    pm.expect((error.details || {}).reason).not.to.equal("no_path");
});
pm.test("is named in the log", () => pm.response.to.have.header("X-Request-Id"));"""
KEEP = 'if (pm.response.code < 300) pm.collectionVariables.set("%s", pm.response.json()%s);'


class Variables:
    """What stands for the parameters in paths: `deploymentId` for the id of `/deployments/{id}`."""

    def __init__(self, documents: Mapping[str, Document]) -> None:
        self._names: dict[tuple[str, str], str] = {}
        self.kept: set[str] = set()
        """Those that an answer gives; the environment gives the others."""
        for document in documents.values():
            for path, _, operation in operations(document):
                for before, part in pairwise(path.split("/")):
                    if part.startswith("{"):
                        name = part[1:-1]
                        self._names[operation["operationId"], name] = _variable(before, name)
        for document in documents.values():
            for _, _, operation in operations(document):
                self.kept.update(name for name, _ in self.given(document, operation))

    def of(self, operation_id: str, parameter: str) -> str:
        return self._names[operation_id, parameter]

    def given(self, document: Document, operation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """The variables that an operation's answer gives, each with its place in the body (`.token.id`)."""
        for status, response in operation["responses"].items():
            links = resolve(document, response).get("links", {}) if status < "3" else {}
            for link in links.values():
                for name, source in link.get("parameters", {}).items():
                    if name not in SAID and source.startswith(BODY):
                        place = source.removeprefix(BODY).replace("/", ".")
                        yield self.of(link["operationId"], name), place
            for name in SECRETS if status < "3" else ():
                if name in _fields(document, response):
                    yield name, f".{name}"


def _fields(document: Document, response: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an answer's object has."""
    media = resolve(document, response).get("content", {}).get("application/json", {})
    fields: Mapping[str, Any] = resolve(document, media.get("schema", {})).get("properties", {})
    return fields


def _variable(before: str, name: str) -> str:
    singular = f"{before[:-3]}y" if before.endswith("ies") else before.removesuffix("s")
    if singular in SAID:
        return singular
    return f"{singular}Id" if name == "id" else name


def collection(documents: Mapping[str, Document]) -> str:
    """The collection over these contracts, as JSON."""
    variables = Variables(documents)
    folders = [
        {
            "name": document["info"]["title"],
            "description": document["info"]["description"],
            "item": [
                _item(document, path, method, operation, variables)
                for path, method, operation in _in_order(document)
            ],
        }
        for document in documents.values()
        if document["paths"]
    ]
    return _json(
        {
            "info": {
                "_postman_id": str(uuid.uuid5(NAMESPACE, "collection")),
                "name": "dg API",
                "description": ABOUT,
                "schema": FORMAT,
            },
            "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
            "event": [_script("prerequest", AHEAD), _script("test", CHECKS)],
            "variable": [{"key": name, "value": ""} for name in sorted(variables.kept)],
            "item": folders,
        }
    )


def _in_order(document: Document) -> list[tuple[str, str, Mapping[str, Any]]]:
    """The operations of a contract; what deletes a thing comes behind all else that is done with it."""
    found = list(operations(document))
    for each in [each for each in found if each[1] == "delete"]:
        found.remove(each)
        last = max((at for at, other in enumerate(found) if other[0].startswith(each[0])), default=len(found))
        found.insert(last + 1, each)
    return found


def environment() -> str:
    """What all requests have in common, as JSON; the token is left to its owner."""
    values = [
        {"key": key, "value": value, "type": "secret" if key == "token" else "default", "enabled": True}
        for key, value in VARIABLES.items()
    ]
    return _json(
        {
            "id": str(uuid.uuid5(NAMESPACE, "environment")),
            "name": "dg on this machine",
            "values": values,
            "_postman_variable_scope": "environment",
        }
    )


def _json(whole: object) -> str:
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _script(when: str, text: str) -> dict[str, Any]:
    return {"listen": when, "script": {"type": "text/javascript", "exec": text.splitlines()}}


def _item(
    document: Document, path: str, method: str, operation: Mapping[str, Any], variables: Variables
) -> dict[str, Any]:
    declared = [
        resolve(document, each)
        for each in [*document["paths"][path].get("parameters", ()), *operation.get("parameters", ())]
    ]
    body = _body(document, operation)
    request: dict[str, Any] = {
        "method": method.upper(),
        "description": operation["description"],
        "header": [*_headers(declared), *([CONTENT_TYPE] if body else [])],
        "url": _url(path, operation["operationId"], declared, variables),
    }
    if body:
        request["body"] = {"mode": "raw", "raw": body, "options": {"raw": {"language": "json"}}}
    if not operation.get("security", document.get("security", [])):
        request["auth"] = {"type": "noauth"}
    item: dict[str, Any] = {"name": operation["summary"], "request": request}
    if given := dict(variables.given(document, operation)):
        item["event"] = [_script("test", "\n".join(KEEP % pair for pair in given.items()))]
    return item


def _headers(declared: list[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for parameter in declared:
        if parameter["in"] == "header":
            once = parameter["name"] == "Idempotency-Key"
            yield {
                "key": parameter["name"],
                "value": "{{$guid}}" if once else str(parameter.get("example", "")),
                "description": parameter.get("description", ""),
                **({} if once else {"disabled": True}),
            }


def _url(path: str, identity: str, declared: list[Mapping[str, Any]], variables: Variables) -> dict[str, Any]:
    # Postman writes a parameter of a path as `:name`.
    parts = [f":{part[1:-1]}" if part.startswith("{") else part for part in path.split("/")[1:]]
    placed = [
        {
            "key": parameter["name"],
            "value": _placed(parameter, variables.of(identity, parameter["name"]), variables),
            "description": parameter.get("description", ""),
        }
        for parameter in declared
        if parameter["in"] == "path"
    ]
    query = [
        {
            "key": parameter["name"],
            "value": _stands_for(name) if (name := parameter["name"]) in SAID else _text(parameter),
            "description": parameter.get("description", ""),
            "disabled": not parameter.get("required", False),
        }
        for parameter in declared
        if parameter["in"] == "query"
    ]
    return {
        "raw": "/".join(["{{baseUrl}}", *parts]),
        "host": ["{{baseUrl}}"],
        "path": parts,
        **({"variable": placed} if placed else {}),
        **({"query": query} if query else {}),
    }


def _placed(parameter: Mapping[str, Any], variable: str, variables: Variables) -> str:
    if variable in SAID or variable in variables.kept or "example" not in parameter:
        return _stands_for(variable)
    return str(parameter["example"])


def _text(parameter: Mapping[str, Any]) -> str:
    return str(parameter.get("example", parameter["schema"].get("default", "")))


def _body(document: Document, operation: Mapping[str, Any]) -> str | None:
    """The contract's own example; where the environment says a value, it comes from there."""
    body = resolve(document, operation.get("requestBody", {}))
    media = body.get("content", {}).get("application/json")
    if media is None or not ("example" in media or body.get("required")):
        return None
    whole = samples.of_media(media, document) | MORE.get(operation["operationId"], {})
    return json.dumps(_said(whole), indent=2, ensure_ascii=False)


def _said(value: Any, field: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _said(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_said(each) for each in value]
    if field in FIELDS and isinstance(value, str):
        return _stands_for(FIELDS[field])
    return _own_pipeline(value) if field == "text" else value


def _own_pipeline(text: str) -> str:
    for found, said in TEXTS.items():
        text = re.sub(found, said, text, flags=re.MULTILINE)
    return text


def _stands_for(variable: str) -> str:
    return "{{" + variable + "}}"

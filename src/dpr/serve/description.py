"""OpenAPI of the application: the one place that says what each operation may answer.

Takes an application with its routes; gives the document, in which every status that can come stands
with its shape and headers, as ``problems`` makes them. Knows nothing of why something is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from dpr.serve.conditions import CONDITIONS, SPELLED, WHERE
from dpr.serve.examples import EXAMPLES
from dpr.serve.gate import CHANGES, COOKIE, OPEN
from dpr.serve.keys import Keys
from dpr.serve.page import ASKED, READ
from dpr.serve.problems import SHAPES, Style, media_type, style

Schema = dict[str, Any]

MEANINGS: Mapping[int, str] = {
    400: "The body is not JSON, or the request makes no sense.",
    401: "No key, or none that is known.",
    403: "Not with this key, by this host's name, or from a page of another site.",
    404: "There is no such thing.",
    405: "This path does not take this method.",
    408: "The body did not arrive in time.",
    409: "The id is taken or the last one, or another change is being made.",
    413: "The body, the work in it or the answer is more than is ever allowed.",
    415: "The body is not said to be JSON: content-type has to be application/json.",
    422: "The request can be read, but is not as the schema says.",
    429: "Too much is waiting; try again after the seconds in Retry-After.",
    431: "The head is too long.",
    500: "The server failed. Its log knows the request by its id.",
    503: "Not ready yet, ending, or in trouble; try again after the seconds in Retry-After.",
    504: "The deadline passed.",
}

# What the connection and the guard may say of any request, and a fault of ours.
ANYWHERE = (403, 429, 431, 500, 503)
# And of any that may bring a body.
BROUGHT = (408, 413)
# What may be wrong with JSON; the second alone with what stands in a path or query.
JSON, FIELDS = (400, 415, 422), (422,)
# What else an operation may say.
ALSO: Mapping[tuple[str, str], tuple[int, ...]] = {
    ("post", "/v1/search"): (504,),
    ("post", "/v1/answer"): (404, 504),
    ("post", "/v1/embeddings"): (404, 504),
    ("post", "/"): (404, 504),
    ("post", "/embed"): (404, 504),
    ("post", "/rerank"): (404, 504),
    ("post", "/v1/rerank"): (404, 504),
    ("post", "/v1/documents"): (409,),
    ("delete", "/v1/documents/{document}"): (404, 409),
    ("get", "/"): (413, 504),
    ("get", "/document"): (404, 413, 504),
}

HEADERS: Schema = {
    "X-Request-Id": {
        "description": "What the server's log knows the request by: as it came, or made here.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "Retry-After": {
        "description": "Seconds.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "Allow": {
        "description": "The methods that the path takes.",
        "required": True,
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {"required": True, "schema": {"type": "string", "const": "Bearer"}},
    "Location": {
        "description": "A page of this server.",
        "required": True,
        "schema": {"type": "string", "pattern": "^/"},
    },
    "Set-Cookie": {"description": "The session.", "schema": {"type": "string"}},
}
_OF: Mapping[int, str] = {
    401: "WWW-Authenticate",
    405: "Allow",
    429: "Retry-After",
    503: "Retry-After",
}

_ABOUT = """Passages and answers of one collection, and vectors.

Requests may bring an `X-Request-Id` of up to 64 letters, digits, dots, underscores and hyphens;
each answer has it, or one that was made. Beyond what the operations say, every path answers 405 to
other methods, with `Allow`, and paths that are not here 404; what is no HTTP is answered 400 as
plain text, and the connection closed."""


def described(app: FastAPI, model: str, dim: int, keys: Keys) -> Schema:
    """OpenAPI 3.1, made once.

    Args:
        model, dim: what is served, and how many numbers its vectors have.
        keys: that are asked for.
    """
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=_ABOUT, routes=app.routes
        )
        parts = schema.setdefault("components", {})
        _add_shapes(parts.setdefault("schemas", {}))
        parts["headers"] = HEADERS
        used = {_name("problem", status): _refusal(status, "problem") for status in (404, 405)}
        for method, path, operation in operations(schema):
            used |= _complete(method, path, operation, guarded=keys.asked)
        parts["responses"] = dict(sorted(used.items()))
        _name_model(schema, model, dim)
        if keys:
            _add_keys(schema, keys)
        app.openapi_schema = schema
    return app.openapi_schema


def operations(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, Schema]]:
    """Method, path and description of each operation."""
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def _add_shapes(schemas: Schema) -> None:
    for unused in (
        "HTTPValidationError",
        "ValidationError",
    ):  # FastAPI's, in place of which is ours
        schemas.pop(unused, None)
    for shape in SHAPES.values():
        made = shape.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(made.pop("$defs", {}))
        schemas[shape.__name__] = made
    for name in ("SearchRequest", "AnswerRequest"):
        fields = schemas[name]["properties"]
        fields["where"] |= WHERE
        fields["filters"] |= CONDITIONS
        # pydantic says the type twice where another validator stands behind it.
        fields["where"].pop("anyOf", None)


def _name_model(schema: Schema, model: str, dim: int) -> None:
    fields = schema["components"]["schemas"]["EmbeddingsRequest"]["properties"]
    names = list(dict.fromkeys((model.partition("@")[0], model)))
    fields["model"]["enum"] = names
    fields["dimensions"]["anyOf"][0] = {"const": dim}
    body = schema["paths"]["/v1/embeddings"]["post"]["requestBody"]["content"]["application/json"]
    body["example"] = {**body["example"], "model": names[0]}


def _complete(method: str, path: str, operation: Schema, *, guarded: bool) -> Schema:
    """Adds what an operation may answer; gives the refusals that it so refers to."""
    answers = operation["responses"]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    wrong = JSON if body is not None else FIELDS if "parameters" in operation else ()
    if body is not None and path in EXAMPLES:
        body["example"] = EXAMPLES[path]
    if path == "/signin":
        _add_form(method, operation)
    if (method, path) == ("get", "/"):
        [where] = (one for one in operation["parameters"] if one["name"] == "where")
        where["schema"] |= {"pattern": SPELLED}
    if path in ("/signin", "/signout") and method == "post":
        answers["303"]["headers"] = {one: _header(one) for one in ("Location", "Set-Cookie")}
    for answer in answers.values():
        answer.setdefault("headers", {})["X-Request-Id"] = _header("X-Request-Id")
        if answer["description"] == "Successful Response":
            answer["description"] = "Done."
    brought = () if method == "get" else BROUGHT
    statuses = {*ANYWHERE, *brought, *wrong, *ALSO.get((method, path), ())}
    if guarded and path not in OPEN:
        statuses.add(401)
    looks = style(method.upper(), path)
    used = {_name(looks, status): _refusal(status, looks) for status in statuses}
    for status in statuses:
        answers[str(status)] = {"$ref": f"#/components/responses/{_name(looks, status)}"}
    operation["responses"] = dict(sorted(answers.items()))
    return used


def _name(style: Style, status: int) -> str:
    return f"{style}-{status}"


def _header(name: str) -> Schema:
    return {"$ref": f"#/components/headers/{name}"}


def _refusal(status: int, style: Style) -> Schema:
    names = ["X-Request-Id", *([_OF[status]] if status in _OF else [])]
    if status == 431:  # said by the connection, before there is an id or a path
        style, names = "problem", []
    shape: Schema = {"type": "string"}
    if style != "page":
        shape = {"$ref": f"#/components/schemas/{SHAPES[style].__name__}"}
    headers = {name: _header(name) for name in names}
    if status == 409:  # where another change is being made, and not where an id is taken
        headers["Retry-After"] = {**HEADERS["Retry-After"], "required": False}
    return {
        "description": MEANINGS[status],
        "headers": headers,
        "content": {media_type(style): {"schema": shape}},
    }


def _add_form(method: str, operation: Schema) -> None:
    """To which question or passage it leads back, and what it takes and answers."""
    operation["parameters"] = [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
        for name in ASKED + READ
    ]
    if method == "post":
        fields = {"type": "object", "properties": {"key": {"type": "string"}}}
        operation["requestBody"] = {
            "content": {"application/x-www-form-urlencoded": {"schema": fields}}
        }
        operation["responses"]["401"] = {
            "description": "The key is not known; the form again.",
            "content": {"text/html": {"schema": {"type": "string"}}},
        }


def _add_keys(schema: Schema, keys: Keys) -> None:
    schemes: Schema = {"key": {"type": "http", "scheme": "bearer"}}
    if keys.asked:
        schemes["session"] = {"type": "apiKey", "in": "cookie", "name": COOKIE}
        schema["security"] = [{"key": []}, {"session": []}]
    schema["components"]["securitySchemes"] = schemes
    for _, path, operation in operations(schema):
        if path.startswith(CHANGES):  # never by a cookie
            operation["security"] = [{"key": []}]
        elif path in OPEN and keys.asked:
            operation["security"] = []

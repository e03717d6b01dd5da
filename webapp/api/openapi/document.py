"""The whole document: operations, their schemas, webhooks, and what holds for all of them."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from webapp.api.openapi import examples, of_models, of_platform, of_webhooks, schemas
from webapp.api.openapi.objects_chat import Error
from webapp.api.openapi.objects_messages import MessageError
from webapp.api.openapi.objects_platform import CallQuote, WebhookEvent
from webapp.api.openapi.operation import ANTHROPIC, DRY_RUN, Operation
from webapp.api.openapi.schemas import Schema

OPERATIONS: tuple[Operation, ...] = (
    *of_models.OPERATIONS,
    *of_platform.OPERATIONS,
    *of_webhooks.OPERATIONS,
)
JSON, SSE = "application/json", "text/event-stream"
EVERYWHERE = (400, 401, 403, 405, 408, 413, 429, 431, 500, 503)
REFUSALS = {
    400: "The request is wrong; `param` names the field.",
    401: "The key is missing, wrong or revoked.",
    402: "There is not enough money. Told as 429 in OpenAI's dialect.",
    403: "The key is not for this.",
    404: "It is not there (any more).",
    405: "The address takes other methods; `allow` names them.",
    408: "The body did not come in time.",
    409: "It is in no state for this, or the first call of this Idempotency-Key is still being answered.",
    413: "The body is longer than 32 MB.",
    422: "The Idempotency-Key was used with another body.",
    429: "A rate, a budget or the credit is used up: `details` names which, its numbers and the remedy.",
    431: "The headers are too long.",
    500: "The server failed.",
    503: "The model, or a part of the platform, is away: try again.",
    529: "The model is overloaded: try again.",
}
INTRODUCTION = """\
One platform in three dialects: OpenAI's Chat Completions and Responses, Anthropic's Messages, and Kimi's \
own endpoints; beside them agents that run on their own, exact bills and webhooks.

Make a key in the settings and send it as `Authorization: Bearer sk-…` or `x-api-key: sk-…`. Official \
clients need their base URL alone: OpenAI's `/v1`, Anthropic's `/anthropic` (or none).

Every refusal is JSON with a code for programs. `x-should-retry` says whether the same request may succeed \
later and `retry-after` when. Silent streams are kept open by comments (`: ping`)."""
HEADERS: dict[str, tuple[str, str]] = {
    "x-request-id": ("openai", "The number of the request, for its receipt and for support."),
    "openai-processing-ms": ("openai", "Milliseconds until the answer began."),
    "request-id": ("anthropic", "The number of the request."),
}
LIMIT_HEADERS = {
    "openai": {
        f"x-ratelimit-{what}-{of}": f"{text} of {of}."
        for of in ("requests", "tokens")
        for what, text in (
            ("limit", "The limit"),
            ("remaining", "What is left"),
            ("reset", "Until all is left again, like `6m0s`: the limit"),
        )
    },
    "anthropic": {
        f"anthropic-ratelimit-{of}-{what}": f"{text} of {of}."
        for of in ("requests", "tokens", "input-tokens", "output-tokens")
        for what, text in (
            ("limit", "The limit"),
            ("remaining", "What is left"),
            ("reset", "When all is left again, RFC 3339: the limit"),
        )
    },
}
RETRY_HEADERS = {
    "x-should-retry": "Whether the same request may succeed later.",
    "retry-after": "Seconds to wait, where waiting helps.",
    "retry-after-ms": "The same in milliseconds.",
}


@cache
def build() -> Schema:
    """The document; the same object whenever it is asked for."""
    own, components = schemas.make(_types())
    paths: dict[str, Schema] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, own)
    names = [operation.section for operation in OPERATIONS]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Kimi K2 Thinking", "version": "1.0.0", "description": INTRODUCTION},
        "servers": [{"url": "/", "description": "This platform"}],
        "tags": [{"name": name} for name in dict.fromkeys([*names, of_webhooks.WEBHOOKS])],
        "security": [{"bearer": []}, {"apiKey": []}],
        "paths": paths,
        "webhooks": {name: _webhook(name, text, own) for name, text in of_webhooks.EVENTS.items()},
        "components": {
            "schemas": components,
            "responses": {
                f"{dialect}{status}": _refusal(status, dialect, own)
                for dialect in ("openai", "anthropic")
                for status in REFUSALS
            },
            "headers": _headers(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer sk-…`"},
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": "As Anthropic's clients send it.",
                },
            },
        },
    }


def _types() -> Iterable[Any]:
    for operation in OPERATIONS:
        yield from (kind for kind in (operation.answer, operation.streams) if kind is not None)
        if operation.body is not None and not isinstance(operation.body, dict):
            yield operation.body
    yield from (Error, MessageError, WebhookEvent, CallQuote)


def _operation(operation: Operation, own: dict[Any, Schema]) -> Schema:
    described: Schema = {
        "operationId": operation.id,
        "tags": [operation.section],
        "summary": operation.summary,
        "description": operation.text,
        "parameters": _parameters(operation),
        "responses": _responses(operation, own),
        "x-codeSamples": [
            {"lang": sample.language, "label": sample.label, "source": sample.source}
            for sample in examples.of(operation.example)
        ],
    }
    if operation.body is not None:
        described["requestBody"] = _body(operation, own)
    if operation.is_open:
        described["security"] = []
    return described


def _parameters(operation: Operation) -> list[Schema]:
    path = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    named = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in path
    ]
    return named + [
        {"name": one.name, "in": one.place, "description": one.text, "schema": dict(one.schema)}
        for one in operation.parameters
    ]


def _body(operation: Operation, own: dict[Any, Schema]) -> Schema:
    if isinstance(operation.body, dict):
        return {"required": True, "content": {"multipart/form-data": {"schema": operation.body}}}
    content: Schema = {"schema": own[operation.body]}
    if operation.body_example is not None:
        content["examples"] = {"example": {"value": operation.body_example}}
    return {"required": not operation.is_body_optional, "content": {JSON: content}}


def _responses(operation: Operation, own: dict[Any, Schema]) -> Schema:
    content: Schema = {}
    if operation.answer is not None:
        schema = own[operation.answer]
        if DRY_RUN in operation.parameters:
            schema = {"anyOf": [schema, own[CallQuote]]} if operation.status == 200 else schema
        content = {media: {"schema": schema} for media in operation.media}
    if operation.streams is not None:
        # An event stream is a text; what each event's data holds stands beside it.
        content[SSE] = {"schema": {"type": "string"}, "x-event-data": own[operation.streams]}
    refusals = (*EVERYWHERE, *operation.refuses)
    if operation.dialect == ANTHROPIC and 402 in refusals:
        refusals = (*refusals, 529)
    told = {str(operation.status): {"description": "Done.", "headers": _own_headers(operation)}}
    told[str(operation.status)] |= {"content": content}
    if links := _links(operation):
        told[str(operation.status)]["links"] = links
    if operation.status == 201 and DRY_RUN in operation.parameters:
        told["200"] = {"description": "A quote.", "content": {JSON: {"schema": {"type": "object"}}}}
    place = "#/components/responses/"
    return told | {str(one): {"$ref": f"{place}{operation.dialect}{one}"} for one in sorted(set(refusals))}


def _own_headers(operation: Operation) -> Schema:
    names = [name for name, (dialect, _text) in HEADERS.items() if dialect == operation.dialect]
    if 402 in operation.refuses and operation.status == 200:
        names += [*LIMIT_HEADERS[operation.dialect], "x-kimi-receipt"]
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _headers() -> Schema:
    texts = {name: text for name, (_dialect, text) in HEADERS.items()}
    texts |= LIMIT_HEADERS["openai"] | LIMIT_HEADERS["anthropic"] | RETRY_HEADERS
    texts["x-kimi-receipt"] = "The number of the call's receipt."
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in texts.items()}


def _links(operation: Operation) -> Schema:
    return {
        made: {"operationId": made, "parameters": {"id": "$response.body#/id"}} for made in operation.makes
    }


def _refusal(status: int, dialect: str, own: dict[Any, Schema]) -> Schema:
    names = ["x-should-retry"]
    if status in (408, 409, 429, 500, 503, 529):
        names += ["retry-after", "retry-after-ms"]
    schema = own[MessageError if dialect == ANTHROPIC else Error]
    return {
        "description": REFUSALS[status],
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        "content": {JSON: {"schema": schema}},
    }


def _webhook(name: str, text: str, own: dict[Any, Schema]) -> Schema:
    signed = {
        "webhook-id": "The event's id: the same whenever it is sent again.",
        "webhook-timestamp": "Seconds since 1970.",
        "webhook-signature": "`v1,` and the HMAC-SHA256 of id, timestamp and body, in base64.",
    }
    return {
        "post": {
            "operationId": name,
            "tags": [of_webhooks.WEBHOOKS],
            "summary": text,
            "parameters": [
                {"name": header, "in": "header", "required": True, "description": told}
                | {"schema": {"type": "string"}}
                for header, told in signed.items()
            ],
            "requestBody": {"required": True, "content": {JSON: {"schema": own[WebhookEvent]}}},
            "responses": {
                "2XX": {"description": "Taken. Anything else is tried again for three days; 410 ends it."}
            },
            "security": [],
        }
    }

"""The document says all that is served, and nothing else; its own rules hold."""

import json
import re

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from webapp.api import plane
from webapp.api.openapi import document, examples, of_webhooks
from webapp.api.openapi.document import OPERATIONS
from webapp.webhooks.endpoints import EVENT_TYPES

FILLED = re.compile(r'"\$(?:OPENAI_BASE_URL|ANTHROPIC_BASE_URL/v1)(/[^"?]*)')


@pytest.fixture(scope="module")
def described():
    return document.build()


def test_every_route_is_described_and_every_description_has_its_route():
    described = [(operation.method, operation.path) for operation in OPERATIONS]
    assert set(described) == plane.routes()
    assert len(set(described)) == len(described)


def test_every_operation_is_named_once_and_links_lead_to_operations(described):
    names = [operation.id for operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert {made for operation in OPERATIONS for made in operation.makes} <= set(names)
    assert all(operation.summary and operation.example for operation in OPERATIONS)


def test_every_webhook_is_described_and_means_something(described):
    assert set(described["webhooks"]) == set(EVENT_TYPES)
    assert all(of_webhooks.EVENTS.values())


def test_every_reference_leads_somewhere(described):
    def look(value):
        if isinstance(value, dict):
            if isinstance(place := value.get("$ref"), str):
                at = described
                for part in place.removeprefix("#/").split("/"):
                    at = at[part]
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)

    look(described)


def test_every_schema_is_a_json_schema_and_every_field_of_a_request_means_something(described):
    schemas = described["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    for name in (name for name in schemas if name.endswith("Request")):
        for field, inner in schemas[name]["properties"].items():
            assert "description" in inner, f"{name}.{field} says nothing: webapp/api/openapi/meanings.py"


def test_every_example_of_a_body_is_one(described):
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if content is not None:
                whole = {"components": described["components"], **content["schema"]}
                fault = best_match(
                    Draft202012Validator(whole).iter_errors(content["examples"]["example"]["value"])
                )
                assert fault is None, (method, path, fault)


def test_every_operation_is_called_in_its_example():
    """By curl, which spells the address out."""
    for operation in OPERATIONS:
        source = next(sample.source for sample in examples.of(operation.example) if sample.label == "curl")
        assert _called(operation.method, operation.path) in _calls(source), operation.id


def _calls(source):
    calls = set()
    for command in source.split("curl ")[1:]:
        address = FILLED.search(command)
        assert address is not None, command
        path = re.sub(r"\$\w+", "NAME", address[1]).replace("kimi-k2-thinking", "NAME")
        method = re.search(r"-X (\w+)", command)
        is_sent = re.search(r" -[dF] ", command)
        calls.add((method[1] if method else "POST" if is_sent else "GET", path))
    return calls


def _called(method, path):
    path = path.removeprefix("/anthropic").removeprefix("/v1")
    return method, re.sub(r"\{\w+\}", "NAME", path)


@pytest.mark.django_db
def test_it_is_served_to_everybody_and_its_addresses_are_known(described):
    """Without a key every address but this says that it wants one: none is unknown."""
    import asyncio

    async def nobody(*_asked):
        raise AssertionError("nobody else is to answer")

    async def ask(method, path):
        told = []

        async def receive():
            return {"type": "http.request", "body": b"{}"}

        async def send(event):
            told.append(event)

        scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
        await plane.DataPlane(fallback=nobody)(scope, receive, send)
        return told[0]["status"], json.loads(told[1]["body"])

    for operation in OPERATIONS:
        status, body = asyncio.run(ask(operation.method, re.sub(r"\{\w+\}", "one", operation.path)))
        assert status == (200 if operation.is_open else 401), operation.id
        if operation.is_open:
            assert body == described

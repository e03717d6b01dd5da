"""The API's description as a page, /docs/api: the same document that programs read, for people."""

import json
import re
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_safe

from chat import markdown
from webapp.api.openapi import document
from webapp.api.openapi.schemas import PLACE, Schema

CODE = re.compile(r"`([^`]+)`")
MOST_KINDS = 6


@dataclass(frozen=True, kw_only=True)
class Field:
    name: str
    kind: str
    is_required: bool
    text: SafeString
    place: str = ""


@dataclass(frozen=True, kw_only=True)
class Sample:
    label: str
    source: SafeString


@dataclass(frozen=True, kw_only=True)
class Refusal:
    status: str
    text: SafeString


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    id: str
    method: str
    path: str
    summary: str
    text: SafeString
    parameters: list[Field]
    body: list[Field]
    answers: list[tuple[str, list[Field]]]
    refusals: list[Refusal]
    example: SafeString | None
    samples: list[Sample]

    @cached_property
    def letters(self) -> str:
        """What it is found by."""
        names = " ".join(field.name for field in (*self.parameters, *self.body))
        return f"{self.id} {self.method} {self.path} {self.summary} {self.text} {names}".lower()


@dataclass(frozen=True, kw_only=True)
class Section:
    id: str
    name: str
    endpoints: list[Endpoint]


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    told = document.build()
    introduction = [_text(paragraph) for paragraph in told["info"]["description"].split("\n\n")]
    query = request.GET.get("q", "").strip()[:100]
    sections = _found(query) if query else _sections()
    number = sum(len(section.endpoints) for section in sections)
    context = {"sections": sections, "introduction": introduction, "query": query, "number": number}
    return render(request, "reference/page.html", context)


def _found(query: str) -> list[Section]:
    """The endpoints that hold every word."""
    words = query.lower().split()
    found = []
    for section in _sections():
        endpoints = [one for one in section.endpoints if all(word in one.letters for word in words)]
        if endpoints:
            found.append(replace(section, endpoints=endpoints))
    return found


@cache
def _sections() -> list[Section]:
    """As the document has it, which does not change while the process lives."""
    told = document.build()
    by_tag: dict[str, list[Endpoint]] = {tag["name"]: [] for tag in told["tags"]}
    for address, methods in told["paths"].items():
        for method, operation in methods.items():
            by_tag[operation["tags"][0]].append(_endpoint(method.upper(), address, operation))
    for name, ways in told["webhooks"].items():
        by_tag[ways["post"]["tags"][0]].append(_endpoint("EVENT", name, ways["post"]))
    return [
        Section(id=re.sub(r"\W+", "-", name.lower()), name=name, endpoints=endpoints)
        for name, endpoints in by_tag.items()
    ]


def _endpoint(method: str, address: str, operation: Schema) -> Endpoint:
    content: Schema = next(iter(operation.get("requestBody", {}).get("content", {}).values()), {})
    example = content.get("examples", {}).get("example", {}).get("value")
    return Endpoint(
        id=operation["operationId"],
        method=method,
        path=address,
        summary=operation["summary"],
        text=_text(operation.get("description", "")),
        parameters=[_parameter(one) for one in operation["parameters"]],
        body=_fields(content.get("schema", {})),
        answers=list(_answers(operation["responses"])),
        refusals=[
            Refusal(status=status, text=_text(_resolved(one)["description"]))
            for status, one in operation["responses"].items()
            if status[0] in "45"
        ],
        example=None if example is None else _code(json.dumps(example, indent=2, ensure_ascii=False), "json"),
        samples=[
            Sample(label=one["label"], source=_code(one["source"].rstrip(), one["lang"]))
            for one in operation.get("x-codeSamples", ())
        ],
    )


def _answers(responses: Schema) -> Any:
    """The fields of each shape in which an answer comes."""
    for status, response in responses.items():
        if status[0] != "2":
            continue
        for media, content in _resolved(response).get("content", {}).items():
            schema = content.get("x-event-data", content["schema"])
            for way in schema.get("anyOf", [schema]):
                name = way.get("$ref", "").removeprefix(PLACE)
                yield " · ".join(part for part in (status, media, name) if part), _fields(way)


def _parameter(one: Schema) -> Field:
    return Field(
        name=one["name"],
        kind=_kind(one["schema"]),
        is_required=one.get("required", False),
        text=_text(one.get("description", "")),
        place=one["in"],
    )


def _fields(schema: Schema) -> list[Field]:
    schema = _resolved(schema)
    required = schema.get("required", ())
    return [
        Field(
            name=name,
            kind=_kind(inner),
            is_required=name in required,
            text=_text(_resolved(inner).get("description", "")),
        )
        for name, inner in schema.get("properties", {}).items()
    ]


def _kind(schema: Schema) -> str:
    """The type in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(PLACE)
    if "enum" in schema:
        shown = [json.dumps(one) for one in schema["enum"] if one is not None]
        return " | ".join(shown[:MOST_KINDS]) + (" | …" if len(shown) > MOST_KINDS else "")
    if "const" in schema:
        return json.dumps(schema["const"])
    if "anyOf" in schema:
        ways = dict.fromkeys(_kind(one) for one in schema["anyOf"] if one != {"type": "null"})
        return " | ".join(list(ways)[:MOST_KINDS]) + (" | …" if len(ways) > MOST_KINDS else "")
    if schema.get("type") == "array":
        inner = _kind(schema.get("items", {}))
        return f"({inner})[]" if "|" in inner else f"{inner}[]"
    return f"{schema.get('type', 'any')}{_bounds(schema)}"


def _bounds(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is None and most is None:
        return ""
    return f" {'' if least is None else least}…{'' if most is None else most}"


def _resolved(schema: Schema) -> Schema:
    at: Any = schema
    while "$ref" in at:
        place, at = at["$ref"], document.build()
        for part in place.removeprefix("#/").split("/"):
            at = at[part]
    return dict(at)


def _text(text: str) -> SafeString:
    return mark_safe(CODE.sub(r"<code>\1</code>", escape(text)))  # noqa: S308


def _code(source: str, language: str) -> SafeString:
    return mark_safe(markdown.highlight(source, language))  # noqa: S308


urlpatterns = [path("docs/api/", show, name="reference")]

"""The API's own OpenAPI document as a few plain values that a template can lay out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Field:
    """A parameter or a model's field; ``kind`` is its type in words or a model's name."""

    name: str
    kind: str
    required: bool
    about: str


@dataclass(frozen=True)
class Call:
    """One operation; ``answers`` are (status, what it means, kind of its body)."""

    method: str
    path: str
    summary: str
    about: str
    parameters: tuple[Field, ...]
    body: str
    answers: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Model:
    """One schema: an object's fields, or the words of an enumeration."""

    name: str
    about: str
    fields: tuple[Field, ...]
    words: tuple[str, ...]


def calls(document: dict[str, Any]) -> dict[str, list[Call]]:
    """Every operation of ``document``, by its tag."""
    grouped: dict[str, list[Call]] = {}
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                tag = (item[method].get("tags") or ["console"])[0]
                grouped.setdefault(tag, []).append(_call(method, path, item[method]))
    return grouped


def models(document: dict[str, Any]) -> list[Model]:
    """Every schema of ``document``, by name."""
    schemas = document.get("components", {}).get("schemas", {})
    return [_model(name, schema) for name, schema in sorted(schemas.items())]


def kind(schema: dict[str, Any]) -> str:
    """``schema`` in words: ``"list of Nic"``, ``"integer or null"``, ``"Machine"``."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        return " or ".join(kind(s) for s in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _call(method: str, path: str, operation: dict[str, Any]) -> Call:
    parameters = tuple(
        Field(p["name"], kind(p.get("schema", {})), p.get("required", False), p.get("description", ""))
        for p in operation.get("parameters", ())
    )
    answers = tuple(
        (status, answer.get("description", ""), _content(answer))
        for status, answer in sorted(operation.get("responses", {}).items())
    )
    return Call(
        method.upper(),
        path,
        operation.get("summary", ""),
        operation.get("description", ""),
        parameters,
        _content(operation.get("requestBody", {})),
        answers,
    )


def _content(holder: dict[str, Any]) -> str:
    return ", ".join(_kinds(holder.get("content", {})))


def _kinds(content: dict[str, Any]) -> Iterator[str]:
    for media, body in content.items():
        schema = body.get("schema", {})
        yield kind(schema) if media == "application/json" and schema else media


def _model(name: str, schema: dict[str, Any]) -> Model:
    required = schema.get("required", ())
    fields = tuple(
        Field(field, kind(inner), field in required, inner.get("description", ""))
        for field, inner in schema.get("properties", {}).items()
    )
    return Model(name, schema.get("description", ""), fields, tuple(map(str, schema.get("enum", ()))))

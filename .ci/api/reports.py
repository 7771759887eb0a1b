"""Asks for every report with the client that openapi-python-client generated: the client has to know every field of each
answer. Usage: reports.py QUESTIONS.json URL."""

import datetime
import enum
import importlib
import json
import pkgutil
import sys
import typing

import attrs
import seatmeter.api
from seatmeter import Client


def typed(annotation, text):
    """The text as the type that the client's parameter has."""
    for choice in typing.get_args(annotation) or (annotation,):
        if isinstance(choice, type) and issubclass(choice, enum.Enum):
            return choice(text)
        if choice is datetime.date:
            return datetime.date.fromisoformat(text)
    return text


def unknown_fields(value, path="answer"):
    """The fields of the answer that the client has no attribute for."""
    if isinstance(value, list):
        return [field for item in value for field in unknown_fields(item, f"{path}[]")]
    if not hasattr(value, "additional_properties"):
        return []
    own = [attribute.name for attribute in attrs.fields(type(value)) if attribute.name != "additional_properties"]
    below = [field for name in own for field in unknown_fields(getattr(value, name), f"{path}.{name}")]
    return [f"{path}.{name}" for name in value.additional_properties] + below


def fields(value):
    """The names of all fields, in the shape of the answer."""
    if isinstance(value, dict):
        return {name: fields(part) for name, part in value.items()}
    return [fields(item) for item in value] if isinstance(value, list) else None


def operations():
    """Every function of the client that calls the API, by the name of its operation."""
    for tag in pkgutil.iter_modules(seatmeter.api.__path__, "seatmeter.api."):
        for module in pkgutil.iter_modules(importlib.import_module(tag.name).__path__, f"{tag.name}."):
            yield module.name.rsplit(".", 1)[1].replace("_", ""), importlib.import_module(module.name)


def main(questions, url):
    client = Client(base_url=url, raise_on_unexpected_status=True)
    modules = dict(operations())
    asked = 0
    for question in questions:
        module = modules[question["operation"].lower()]
        types = typing.get_type_hints(module.sync_detailed)
        values = {}
        for name, text in (question["path"] | question["query"]).items():
            name = f"{name}_" if f"{name}_" in types else name
            values[name] = typed(types[name], text)
        if question["body"] is not None:
            values["body"] = types["body"].from_dict(question["body"])
        answer = module.sync_detailed(client=client, **values)
        where = f"{question['operation']} {question['query']}"
        assert answer.status_code == 200, f"{where}: {answer.status_code} {answer.content}"
        assert answer.parsed is not None, f"{where}: the client makes nothing of the answer"
        unknown = unknown_fields(answer.parsed)
        assert not unknown, f"{where}: the client does not know {unknown}"
        assert fields(answer.parsed.to_dict()) == fields(json.loads(answer.content)), where
        asked += 1
    print(f"Python: {asked} answers have every field of their class, and no other")


main(json.load(open(sys.argv[1])), sys.argv[2])

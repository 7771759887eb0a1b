"""Writes down as JSON what the generated clients ask: every report of the OpenAPI document, in each shape that its answer can
have. Usage: questions.py OPENAPI.json."""

import json
import sys

# What the generated events name.
PATH = {"account_id": "acme", "organization_id": "org-0"}
RANGE = {"from": "2026-01-01", "to": "2026-01-04"}

# The bodies of operations that take one.
BODIES = {"canRunMany": {"checks": [PATH | {"tests": 2}, {"account_id": "nobody", "organization_id": "1"}]}}

# Parameters that change which fields an answer has, by operation.
SHAPES = {"getLicenseUsage": [{"group_by": "organization"}], "listAlerts": [{"state": "all"}]}


def questions(document):
    for path, item in document["paths"].items():
        if not path.startswith("/v1/"):
            continue
        method, operation = next((method, item[method]) for method in ("get", "post") if method in item)
        body = BODIES.get(operation["operationId"])
        if (method == "post") != (body is not None):
            raise SystemExit(f"{method} {path}: the clients do not know what to ask")
        parameters = operation.get("parameters", [])
        named = {one["name"]: PATH[one["name"]] for one in parameters if one["in"] == "path"}
        dates = {one["name"] for one in parameters if one["schema"].get("format") == "date"}
        query = {name: day for name, day in RANGE.items() if name in dates}
        for shape in [{}, *SHAPES.get(operation["operationId"], [])]:
            asked = {"operation": operation["operationId"], "method": method, "route": path}
            yield asked | {"path": named, "query": query | shape, "body": body}


json.dump(list(questions(json.load(open(sys.argv[1])))), sys.stdout, indent=2)

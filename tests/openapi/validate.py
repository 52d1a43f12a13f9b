#!/usr/bin/env python3
"""Checks an OpenAPI document (standard input) against the OpenAPI 3.1 schema, and that every $ref resolves."""
import json
import pathlib
import sys

import jsonschema

SCHEMA = pathlib.Path(__file__).resolve().parent / "openapi-3.1.schema.json"


def refs(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from refs(value)


def main() -> int:
    document = json.load(sys.stdin)
    errors = [f"{list(e.absolute_path)}: {e.message[:200]}"
              for e in jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).iter_errors(document)]
    for ref in refs(document):
        node = document
        for part in ref.removeprefix("#/").split("/"):
            node = node.get(part.replace("~1", "/"), None) if isinstance(node, dict) else None
        if node is None:
            errors.append(f"dangling {ref}")
    # Each component is itself a valid JSON Schema.
    for name, schema in document["components"]["schemas"].items():
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            errors.append(f"schema {name}: {error.message}")
    print("\n".join(errors) or f"OpenAPI: valid, {len(document['paths'])} paths")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())

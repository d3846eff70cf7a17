"""Write the JSON Schemas of ``family.json`` and ``manifest.json`` from the models: ``python spec/schemas.py``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from understudy.bundle import Manifest
from understudy.family import Family

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MODELS = {"family.schema.json": Family, "manifest.schema.json": Manifest}


def schema_text(filename: str) -> str:
    """Return the content of the schema file ``filename``."""
    schema: dict[str, Any] = MODELS[filename].model_json_schema(mode="serialization")
    return json.dumps({"$schema": DIALECT, **schema}, indent=1) + "\n"


if __name__ == "__main__":
    for name in MODELS:
        (Path(__file__).parent / name).write_text(schema_text(name), encoding="utf-8")
        print(name)

"""Write the JSON Schemas of job files, ``family.json`` and ``manifest.json`` from the models: ``python spec/schemas.py``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from understudy.bundle import Manifest
from understudy.family import Family
from understudy.job import Job

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MODELS: dict[str, tuple[Any, Literal["validation", "serialization"]]] = {
    "family.schema.json": (Family, "serialization"),
    "job.schema.json": (Job, "validation"),
    "manifest.schema.json": (Manifest, "serialization"),
}


def schema_text(filename: str) -> str:
    """Return the content of the schema file ``filename``."""
    model, mode = MODELS[filename]
    schema: dict[str, Any] = model.model_json_schema(mode=mode)
    return json.dumps({"$schema": DIALECT, **schema}, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in MODELS:
        (Path(__file__).parent / name).write_text(schema_text(name), encoding="utf-8")
        print(name)

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from families import clinc_like_family
from schemas import MODELS, schema_text

SPEC = Path(__file__).resolve().parents[2] / "spec"


@pytest.mark.parametrize("filename", sorted(MODELS))
def test_the_published_schema_is_that_of_the_model(filename: str) -> None:
    published = (SPEC / filename).read_text(encoding="utf-8")
    assert published == schema_text(filename), "run: python spec/schemas.py"
    jsonschema.Draft202012Validator.check_schema(json.loads(published))


def test_every_field_of_family_json_has_a_description() -> None:
    schema = json.loads((SPEC / "family.schema.json").read_text(encoding="utf-8"))
    records = {"Family": schema} | {name: part for name, part in schema["$defs"].items() if "properties" in part}
    missing = [
        f"{name}.{key}"
        for name, part in records.items()
        for key, field in part["properties"].items()
        if "description" not in field
    ]
    assert not missing


def test_a_saved_family_follows_the_schema(tmp_path: Path) -> None:
    validator = jsonschema.Draft202012Validator(json.loads((SPEC / "family.schema.json").read_text(encoding="utf-8")))
    clinc_like_family().save(tmp_path)
    record = json.loads((tmp_path / "family.json").read_bytes())
    validator.validate(record)
    record["members"][0]["files"][0]["size_bytes"] = "many"
    with pytest.raises(jsonschema.ValidationError, match="'many' is not of type 'integer'"):
        validator.validate(record)


def test_a_manifest_follows_the_schema(tmp_path: Path) -> None:
    from bundles import make_bundle

    make_bundle(tmp_path / "16KB", formats=["c"])
    schema = json.loads((SPEC / "manifest.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads((tmp_path / "16KB" / "manifest.json").read_bytes()))

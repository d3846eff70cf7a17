"""The WebAssembly module in float stands alone beside the one of integers, and its loader is what a page would use."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bundles import LABELS
from image_programs import gated_program, image_program
from programs import TEXTS, sequence_program, utterance_program
from understudy.export.wasm import WasmExporter
from understudy.export.wasm_float import WasmFloatExporter
from understudy.program.ops import Program
from understudy.program.real import real_probabilities
from understudy.projections.text import encode
from wasm_tools import needs_wasm

pytestmark = needs_wasm
EXPORTER = WasmFloatExporter()
CODE = """
import { readFileSync } from "node:fs";
import { load } from "./model_float.mjs";
import { load as loadExact } from "./model.mjs";
const module = new WebAssembly.Module(readFileSync("model_float.wasm"));
const model = await load(), exact = await loadExact();
const texts = JSON.parse(process.argv[2]);
const answers = (of) => texts.map((text) => of.predict(text));
console.log(JSON.stringify([WebAssembly.Module.imports(module), model.name, model.labels, answers(model), answers(exact)]));
"""


def test_both_modules_answer_beside_each_other(tmp_path: Path) -> None:
    program = sequence_program()
    for made in (WasmExporter(), EXPORTER):
        for name, content in made.export(program, name="kitchen", labels=LABELS).items():
            (tmp_path / name).write_bytes(content)
    (tmp_path / "both.mjs").write_text(CODE, encoding="utf-8")
    texts = [text for text in TEXTS if isinstance(text, str)]
    command = ["node", "both.mjs", json.dumps(texts)]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True).stdout
    imports, name, labels, answers, exact = json.loads(said)
    assert (imports, name, labels) == ([], "kitchen", list(LABELS))
    for answer, row in zip(answers, real_probabilities(program, encode(texts, max_bytes=64)), strict=True):
        assert [pair["score"] for pair in answer] == pytest.approx(sorted(row.tolist(), reverse=True), abs=2e-6)
        assert answer[0]["label"] == LABELS[row.argmax()]
    assert answers != exact


@pytest.mark.parametrize("zero_point", [-128, 0, 127])
@pytest.mark.parametrize("program", [utterance_program(), image_program(), gated_program()], ids=["text", "image", "gated"])
def test_its_size_depends_on_shapes_alone(zero_point: int, program: Program) -> None:
    logits = replace(program.quantization[program.logits], zero_point=zero_point, scale=0.5 if zero_point else 1.0)
    moved = replace(program, quantization={**program.quantization, program.logits: logits})
    files = EXPORTER.export(moved, name="kitchen", labels=LABELS)
    rows = EXPORTER.byte_table(program, name="kitchen", labels=LABELS)
    assert sum(map(len, files.values())) == sum(size for _, size in rows)

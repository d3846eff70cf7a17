"""The WebAssembly module stands alone, is as long as its shapes say, and its loader is what a page would use."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bundles import LABELS
from image_programs import image_program, pictures
from programs import TEXTS, sequence_program, utterance_program
from understudy.errors import SetupError
from understudy.export.wasm import WasmExporter, wasm_compiler
from understudy.export.wasm_session import node_version
from understudy.program.interpreter import run
from understudy.program.ops import Program
from understudy.projections.text import encode
from understudy.testing.sound_programs import sound_program
from understudy.testing.vector_programs import vector_program
from wasm_tools import needs_wasm

pytestmark = needs_wasm


def write(program: Program, folder: Path) -> dict[str, bytes]:
    files = WasmExporter().export(program, name="kitchen", labels=LABELS)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return files


def node(folder: Path, code: str, *arguments: str) -> str:
    command = ["node", "--input-type=module", "--eval", code, "--", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True).stdout


def test_the_loader_gives_labels_and_scores_best_first(tmp_path: Path) -> None:
    program = sequence_program()
    write(program, tmp_path)
    texts = [text for text in TEXTS if isinstance(text, str)]
    code = f"""
import {{ readFile }} from "node:fs/promises";
import {{ load }} from {json.dumps((tmp_path / "model.mjs").as_uri())};
const model = await load();
const fromBytes = await load(await readFile("model.wasm"));
const fromPath = await load("model.wasm");
const texts = JSON.parse(process.argv[1]);
console.log(JSON.stringify([model.name, model.maxBytes, model.labels, texts.map((text) => model.predict(text)),
  texts.every((text) => [fromBytes, fromPath].every((m) => m.predict(text)[0].score === model.predict(text)[0].score)),
  model.predict(new TextEncoder().encode(texts[3]))]));
"""
    name, max_bytes, labels, answers, same, of_bytes = json.loads(node(tmp_path, code, json.dumps(texts)))
    assert (name, max_bytes, labels) == ("kitchen", 64, list(LABELS))
    assert same
    assert of_bytes == answers[3]
    for answer, row in zip(answers, run(program, encode(texts, max_bytes=64)).probabilities, strict=True):
        assert [pair["score"] for pair in answer] == pytest.approx(sorted(row.tolist(), reverse=True), abs=1e-6)
        assert answer[0]["label"] == LABELS[row.argmax()]


def test_the_module_imports_nothing_and_exports_four_things(tmp_path: Path) -> None:
    write(utterance_program(), tmp_path)
    code = """
import { readFileSync } from "node:fs";
const module = new WebAssembly.Module(readFileSync("model.wasm"));
const names = WebAssembly.Module.exports(module).map((entry) => entry.name).sort();
console.log(JSON.stringify([WebAssembly.Module.imports(module), names]));
"""
    assert json.loads(node(tmp_path, code)) == [[], ["input", "memory", "predict", "scores"]]


def test_the_loader_for_images_takes_their_bytes(tmp_path: Path) -> None:
    program = image_program()
    write(program, tmp_path)
    images = pictures(program, 5)
    (tmp_path / "pixels.bin").write_bytes(images.tobytes())
    code = f"""
import {{ readFileSync }} from "node:fs";
import {{ load }} from {json.dumps((tmp_path / "model.mjs").as_uri())};
const model = await load();
const content = readFileSync("pixels.bin");
const size = model.shape.reduce((a, b) => a * b);
const answers = [];
for (let i = 0; i < content.length; i += size) answers.push(model.predict(content.subarray(i, i + size)));
let refused;
try {{ model.predict(content.subarray(1, size)); }} catch (error) {{ refused = String(error); }}
console.log(JSON.stringify([model.name, model.shape, model.labels, answers, refused]));
"""
    name, shape, labels, answers, refused = json.loads(node(tmp_path, code))
    assert (name, shape, labels) == ("kitchen", [13, 10, 3], list(LABELS))
    assert refused == "RangeError: an image has 390 bytes: received 389"
    for answer, row in zip(answers, run(program, images).probabilities, strict=True):
        assert [pair["score"] for pair in answer] == pytest.approx(sorted(row.tolist(), reverse=True), abs=1e-6)
        assert answer[0]["label"] == LABELS[row.argmax()]


@pytest.mark.parametrize(
    ("program", "given", "said"),
    [
        (sequence_program(), "5", "TypeError: the model reads a string or a Uint8Array of UTF-8: received number"),
        (sequence_program(), "undefined", "TypeError: the model reads a string or a Uint8Array of UTF-8: received undefined"),
        (sequence_program(), '["a"]', "TypeError: the model reads a string or a Uint8Array of UTF-8: received object"),
        (image_program(), "undefined", "RangeError: an image has 390 bytes: received undefined"),
        (vector_program(inputs=5), "null", "RangeError: the model reads 5 numbers: received undefined"),
        (sound_program(), "undefined", "RangeError: a sound has 1664 samples: received undefined"),
    ],
)
def test_the_loader_says_what_it_reads(tmp_path: Path, program: Program, given: str, said: str) -> None:
    write(program, tmp_path)
    code = f"""
import {{ load }} from {json.dumps((tmp_path / "model.mjs").as_uri())};
const model = await load();
try {{ model.predict({given}); }} catch (error) {{ console.log(String(error)); }}
"""
    assert node(tmp_path, code) == said + "\n"


@pytest.mark.parametrize("zero_point", [-128, 3, 127])
@pytest.mark.parametrize("program", [utterance_program(), image_program()], ids=["text", "image"])
def test_its_size_depends_on_shapes_alone(zero_point: int, program: Program) -> None:
    quantization = {
        **program.quantization,
        program.logits: replace(program.quantization[program.logits], zero_point=zero_point),
    }
    files = WasmExporter().export(replace(program, quantization=quantization), name="kitchen", labels=LABELS)
    rows = WasmExporter().byte_table(program, name="kitchen", labels=LABELS)
    assert sum(map(len, files.values())) == sum(size for _, size in rows)


def test_code_and_loader_are_small(tmp_path: Path) -> None:
    files = write(sequence_program(bits=4), tmp_path)
    rows = dict(WasmExporter().byte_table(sequence_program(bits=4), name="kitchen", labels=LABELS))
    assert rows["code"] < 9 * 1024
    assert rows["loader"] == len(files["model.mjs"])
    assert sum(len(gzip.compress(content, 9)) for content in files.values()) < 8 * 1024


def test_labels_may_be_anything(tmp_path: Path) -> None:
    labels = ("\ud800", "\0", "</script>", "\u2028", "", "a" * 300, '"')
    files = WasmExporter().export(sequence_program(), name="x", labels=labels)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    code = f"""
import {{ load }} from {json.dumps((tmp_path / "model.mjs").as_uri())};
console.log(JSON.stringify((await load()).labels));
"""
    assert tuple(json.loads(node(tmp_path, code))) == labels


def path_with(folder: Path, *commands: str) -> str:
    """Return a PATH on which only ``commands`` are found."""
    for command in commands:
        found = shutil.which(command)
        assert found is not None
        (folder / command).symlink_to(found)
    return str(folder)


@pytest.mark.parametrize(("there", "missing"), [((), "clang"), (("clang",), "wasm-ld")])
def test_a_missing_compiler_is_one_line(
    there: tuple[str, ...], missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "PATH", path_with(tmp_path, *there))
    with pytest.raises(SetupError, match=rf"received {missing} not found; install both \(Debian: apt install clang lld\)$"):
        wasm_compiler()


def test_a_missing_node_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "PATH", path_with(tmp_path))
    with pytest.raises(SetupError, match=r"received node not found; install it \(Debian: apt install nodejs\)$"):
        node_version()

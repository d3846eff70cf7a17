"""What is particular to Core ML files: Apple's parser takes them, they are evaluated here, and are not called verified."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles import make_bundle
from command import understudy
from families import clinc_like_family
from floats import curved_program
from image_programs import image_program
from programs import TEXTS, sequence_program, utterance_program
from understudy.additions import add_formats
from understudy.bundle import Bundle
from understudy.errors import BundleError, SetupError
from understudy.export import coreml
from understudy.export.coreml import NOT_RUN, CoremlExporter
from understudy.export.coreml_evaluation import CoremlEvaluation
from understudy.export.coreml_float import CoremlFloatExporter
from understudy.export.coreml_messages import MIL, FeatureTypes, Model
from understudy.export.coreml_package import FOLDER, WeightsWriter, pack, read_weights, unpack
from understudy.family import Family
from understudy.program.curves import FUNCTIONS
from understudy.program.interpreter import run
from understudy.program.ops import Program
from understudy.testing.formats import examples
from understudy.testing.image_programs import box_program, branched_program, gated_program
from understudy.testing.sound_programs import sound_program

PROGRAMS = {
    "sequence-8": sequence_program(width=48),
    "sequence-4": sequence_program(bits=4, per_channel=False, width=48, classes=90),
    "utterance-4": utterance_program(bits=4, hidden=64),
    "image": image_program(),
    "boxes": box_program(),
    "boxes-large": box_program(shape=(40, 37, 2), rows=tuple(range(300))),
    "branched": branched_program(),
    "branched-flat": branched_program(flat=True, padding=(2, 0, 0, 1)),
    "gated": gated_program(),
    "sound": sound_program(),
}


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> Program:
    return PROGRAMS[request.param]


def exported(program: Program) -> bytes:
    return CoremlExporter().export(program, name="x")["model.mlpackage.zip"]


def model_of(content: bytes, *, folder: str = FOLDER) -> Any:
    model = Model.Model()
    model.ParseFromString(unpack(content, folder=folder)[0])
    return model


# coremltools' own reader of programs types each operator from the types of its inputs; it is asked what it found
PARSE = """\
import json, sys
from coremltools.converters.mil.frontend.milproto.load import load
from coremltools.proto.Model_pb2 import Model
found = []
for folder in sys.argv[1:]:
    model = Model.FromString(open(folder + "/model.mlmodel", "rb").read())
    [function] = load(model, model.specificationVersion, folder + "/weights").functions.values()
    outputs = [(operation.op_type, operation.outputs[0]) for operation in function.operations]
    found.append({output.name: [kind, list(output.shape), output.dtype.__name__] for kind, output in outputs})
print(json.dumps(found))
"""


@pytest.mark.slow
def test_coremltools_reads_the_programs_and_finds_the_same_shapes(tmp_path: Path) -> None:
    curves = {f"float-{word}": curved_program(word) for word in FUNCTIONS}
    contents = {name: exported(program) for name, program in PROGRAMS.items()}
    for name, program in ({f"float-{name}": program for name, program in PROGRAMS.items()} | curves).items():
        [contents[name]] = CoremlFloatExporter().export(program, name="x").values()
    folders = []
    for name, content in contents.items():
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(tmp_path / name)
        folders += map(str, (tmp_path / name).glob("*.mlpackage/Data/com.apple.CoreML"))
    result = subprocess.run([sys.executable, "-c", PARSE, *folders], capture_output=True, text=True, check=True)
    parsed = json.loads(result.stdout.splitlines()[-1])
    names = {MIL.FLOAT32: "fp32", MIL.BOOL: "bool", MIL.INT32: "int"}
    for (name, content), found in zip(contents.items(), parsed, strict=True):
        folder = "model_float.mlpackage" if name.startswith("float") else "model.mlpackage"
        [block] = model_of(content, folder=folder).mlProgram.functions["main"].block_specializations.values()
        assert len(block.operations) > (10 if name.startswith("float") else 20)
        for operation in block.operations:
            [output] = operation.outputs
            shape = [dimension.constant.size for dimension in output.type.tensorType.dimensions]
            assert found[output.name] == [operation.type, shape, names[output.type.tensorType.dataType]]


def test_the_interface_is_the_one_of_every_graph_format(program: Program) -> None:
    model = model_of(exported(program))
    [given], [answer] = model.description.input, model.description.output
    array = given.type.multiArrayType
    assert (given.name, list(array.shape)) == (program.source.input, [1, *program.source.input_shape])
    assert array.dataType == FeatureTypes.ArrayFeatureType.INT32
    assert (answer.name, list(answer.type.multiArrayType.shape)) == ("probabilities", [1, program.classes])
    assert answer.type.multiArrayType.dataType == FeatureTypes.ArrayFeatureType.FLOAT32
    assert model.specificationVersion == 7


def test_the_package_is_what_xcode_expects(program: Program) -> None:
    with zipfile.ZipFile(io.BytesIO(exported(program))) as archive:
        manifest = json.loads(archive.read("model.mlpackage/Manifest.json"))
        assert archive.testzip() is None
        files = set(archive.namelist()) - {"model.mlpackage/Manifest.json"}
    items = manifest["itemInfoEntries"]
    assert manifest["rootModelIdentifier"] in items
    listed = {f"model.mlpackage/Data/{item['path']}" for item in items.values()}
    assert {next(path for path in listed if name.startswith(path)) for name in files} == listed


def test_weights_are_stored_in_their_bits(program: Program) -> None:
    content = exported(program)
    rows = dict(CoremlExporter().byte_table(program, name="x"))
    for layer in program.layers:
        packed = -(-layer.weight.size // 2) if layer.bits == 4 else layer.weight.size
        assert packed <= rows[layer.output] <= packed + 8 * len(layer.weight)
    assert rows["operators and tensors"] == len(content) - sum(rows.values()) + rows["operators and tensors"]


def test_weights_are_read_where_they_were_written() -> None:
    writer = WeightsWriter()
    arrays = [np.arange(n, dtype=kind) for n, kind in ((11, np.int8), (64, np.uint8), (3, np.float32), (0, np.int8))]
    offsets = [writer.add(array) for array in arrays]
    content = writer.finish()
    assert len(content) % 64 == 0
    for offset, array in zip(offsets, arrays, strict=True):
        np.testing.assert_array_equal(read_weights(content, offset), array)
    for wrong in (0, 1, -1, len(content), 10**9):
        with pytest.raises(ValueError, match=f"no weights at {wrong}"):
            read_weights(content, wrong)


@pytest.mark.parametrize("harm", ["operator", "input", "shape", "weights"])
def test_what_it_does_not_know_is_refused(harm: str, tmp_path: Path) -> None:
    content = exported(PROGRAMS["image"])
    model, weights = model_of(content), unpack(content)[1]
    function = model.mlProgram.functions["main"]
    block = function.block_specializations["CoreML6"]
    if harm == "operator":
        block.operations[3].type = "sinh"
    elif harm == "input":
        function.inputs.add(name="more")
    elif harm == "shape":
        block.operations[0].outputs[0].type.tensorType.dimensions[1].constant.size += 1
    else:
        weights = weights[:-64]
    (tmp_path / "model.mlpackage.zip").write_bytes(pack(model.SerializeToString(), weights))
    with pytest.raises(BundleError, match="complete and use known operators: received path="):
        CoremlExporter().open(tmp_path, name="x")


def test_a_bundle_says_that_it_was_evaluated_and_not_run(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b", formats=("onnx", "coreml"))
    table = tmp_path / "test.csv"
    table.write_text("text,label\nplay music,play music\nstop,play music\n", encoding="utf-8")
    outcome = understudy("evaluate", tmp_path / "b", table)
    assert outcome.exit_code == 0, outcome.err
    row = next(line for line in outcome.out.splitlines() if line.startswith("coreml "))
    assert row.split()[-2:] == ["no", "-"]
    assert "100.0 %" in row
    assert f"coreml: {NOT_RUN}" in outcome.out
    [found] = [f for f in Bundle.open(tmp_path / "b").evaluate(["a"], ["b"]) if f.format == "coreml"]
    assert (found.verified, found.reason, found.runtime, found.latency_us, found.agreement) == (False, NOT_RUN, None, None, 1)
    timed = understudy("bench", tmp_path / "b", "--on", "host", "--json")
    assert [m["format"] for m in json.loads(timed.out)["measurements"]] == ["onnx"]
    asked = understudy("bench", tmp_path / "b", "--on", "host", "--format", "coreml")
    assert asked.exit_code == SetupError.exit_code
    assert asked.err.splitlines()[-1].startswith("error: a file is timed in its own runtime: received format='coreml'")


def test_a_family_that_it_is_added_to_marks_it(tmp_path: Path) -> None:
    make_bundle(tmp_path / "16KB", formats=("c",))
    member = clinc_like_family().members[0].model_copy(update={"path": "16KB", "budget": "16KB"})
    clinc_like_family().model_copy(update={"members": (member,)}).save(tmp_path)
    texts = [text for text in TEXTS if isinstance(text, str)]
    [addition] = add_formats(tmp_path / "16KB", ["coreml"], test=(texts, ["play music"] * len(texts))).additions
    assert (addition.runtime, addition.latency_us, addition.not_run, addition.agreement) == (None, None, NOT_RUN, 1.0)
    [file] = [file for file in Family.load(tmp_path).members[0].files if file.format == "coreml"]
    assert not file.verified
    assert str(file.reason).endswith(NOT_RUN)
    assert NOT_RUN in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_where_core_ml_is_it_runs_the_file(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A double stands for coremltools on macOS; it answers only what Core ML would be asked."""

    class MLModel:
        def __init__(self, path: str, *, compute_units: str) -> None:
            assert compute_units == "processor"
            assert (Path(path) / "Manifest.json").is_file()
            self.evaluation = CoremlEvaluation((Path(path).parent / "package.zip").read_bytes())

        def predict(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            [(name, values)] = given.items()
            assert (name, values.dtype, values.shape) == (program.source.input, np.int32, (1, *program.source.input_shape))
            return {"probabilities": self.evaluation.predict(values)}

    double = types.SimpleNamespace(
        models=types.SimpleNamespace(MLModel=MLModel), ComputeUnit=types.SimpleNamespace(CPU_ONLY="processor")
    )
    monkeypatch.setitem(sys.modules, "coremltools", double)
    monkeypatch.setattr(coreml.sys, "platform", "darwin")
    (tmp_path / "model.mlpackage.zip").write_bytes(exported(program))
    session = CoremlExporter().open(tmp_path, name="x")
    assert session.runtime.startswith("Core ML through coremltools ")
    assert not hasattr(session, "not_run")
    inputs = examples(program)[:9]
    np.testing.assert_allclose(session.predict(inputs), run(program, inputs).probabilities, atol=1e-6)


def test_without_coremltools_the_pip_line_is_given(tmp_path: Path) -> None:
    make_bundle(tmp_path / "b", formats=("c",))
    code = (
        "import sys; sys.modules['coremltools'] = None; from understudy.cli.main import run; "
        f"sys.exit(run(['export', {str(tmp_path / 'b')!r}, '--to', 'coreml']))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == SetupError.exit_code
    assert result.stderr.splitlines()[-1].endswith("run: pip install 'understudy[coreml]'")

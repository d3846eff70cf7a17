"""Programs that run a bundle's files without understudy, filled in for one member.

The templates beside this file are the text that the report shows and that ``tests/report/test_snippets.py`` executes.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import jinja2

from understudy.family import Member
from understudy.formats import FLOAT_FORMATS


@dataclass(frozen=True)
class Snippet:
    """A program for one platform.

    Attributes:
        platform: for people.
        format: the file format it runs.
        filename: a name to save it under.
        setup: shell lines to run first, or to compile and start it.
        code: the program.
        executed: True where understudy's own tests execute exactly this text.
    """

    platform: str
    format: str
    filename: str
    setup: str
    code: str
    executed: bool


@dataclass(frozen=True)
class _Template:
    platform: str
    format: str
    filename: str
    setup: str
    executed: bool


_COMPILE = "cc -std=c99 -O2 -I {{ folder | quote }} predict.c -o predict && ./predict"
_COMPILE_IMAGE = _COMPILE.replace("predict.c", "predict_image.c") + " pixels.bin"
_COMPILE_SOUND = _COMPILE.replace("predict.c", "predict_sound.c") + " samples.raw"
_COMPILE_VECTOR = _COMPILE.replace("predict.c", "predict_vector.c") + " values.bin"
_ONNX = "pip install numpy onnxruntime"
_LITERT = "pip install numpy ai-edge-litert"
_NUMPY = "pip install numpy"
_NODE = "npm install onnxruntime-web && node predict.mjs"
_GRADLE = '// implementation("com.google.ai.edge.litert:litert:1.4.0")'
_EXECUTORCH = "pip install executorch"
_UNPACK = "unzip {{ folder | quote }}/{{ file }}"
_BRIDGE = '// bridging header: #include "model.h"'
_TEMPLATES = (
    _Template("Python, ONNX Runtime", "onnx", "predict_onnx.py", _ONNX, executed=True),
    _Template("Python, LiteRT", "litert", "predict_litert.py", _LITERT, executed=True),
    _Template("C", "c", "predict.c", _COMPILE, executed=True),
    _Template("Python, NumPy only", "python", "predict_numpy.py", _NUMPY, executed=True),
    _Template("WebAssembly, Node or browser", "wasm", "predict_wasm.mjs", "node predict_wasm.mjs", executed=True),
    _Template("JavaScript, Node or browser", "onnx", "predict.mjs", _NODE, executed=True),
    _Template("Python, ExecuTorch", "executorch", "predict_executorch.py", _EXECUTORCH, executed=True),
    _Template("Python, ExecuTorch with XNNPACK", "executorch_xnnpack", "predict_executorch.py", _EXECUTORCH, executed=True),
    _Template("Python, ONNX Runtime in float", "onnx_float", "predict_onnx.py", _ONNX, executed=True),
    _Template("Python, LiteRT in float", "litert_float", "predict_litert.py", _LITERT, executed=True),
    _Template("C in float", "c_float", "predict.c", _COMPILE, executed=True),
    _Template("WebAssembly in float", "wasm_float", "predict_wasm.mjs", "node predict_wasm.mjs", executed=True),
    _Template("Python, ExecuTorch in float", "executorch_float", "predict_executorch.py", _EXECUTORCH, executed=True),
    _Template("Python, in float", "python_float", "predict_numpy.py", _NUMPY, executed=True),
    _Template("Kotlin, Android", "litert", "Predict.kt", _GRADLE, executed=False),
    _Template("Swift, iOS and macOS", "c", "predict.swift", _BRIDGE, executed=False),
    _Template("Swift, Core ML", "coreml", "predict_coreml.swift", _UNPACK, executed=False),
    _Template("Swift, Core ML in float", "coreml_float", "predict_coreml.swift", _UNPACK, executed=False),
)

_IMAGE_TEMPLATES = (
    _Template("Python, ONNX Runtime", "onnx", "predict_image_onnx.py", _ONNX, executed=True),
    _Template("Python, LiteRT", "litert", "predict_image_litert.py", _LITERT, executed=True),
    _Template("C", "c", "predict_image.c", _COMPILE_IMAGE, executed=True),
    _Template("Python, NumPy only", "python", "predict_image_numpy.py", _NUMPY, executed=True),
    _Template("WebAssembly, Node or browser", "wasm", "predict_image_wasm.mjs", "node predict_image_wasm.mjs", executed=True),
    _Template("Python, ExecuTorch", "executorch", "predict_image_executorch.py", _EXECUTORCH, executed=True),
    _Template(
        "Python, ExecuTorch with XNNPACK", "executorch_xnnpack", "predict_image_executorch.py", _EXECUTORCH, executed=True
    ),
    _Template("Python, ONNX Runtime in float", "onnx_float", "predict_image_onnx.py", _ONNX, executed=True),
    _Template("Python, LiteRT in float", "litert_float", "predict_image_litert.py", _LITERT, executed=True),
    _Template("C in float", "c_float", "predict_image.c", _COMPILE_IMAGE, executed=True),
    _Template("WebAssembly in float", "wasm_float", "predict_image_wasm.mjs", "node predict_image_wasm.mjs", executed=True),
    _Template("Python, ExecuTorch in float", "executorch_float", "predict_image_executorch.py", _EXECUTORCH, executed=True),
    _Template("Python, in float", "python_float", "predict_image_numpy.py", _NUMPY, executed=True),
    _Template("Swift, Core ML", "coreml", "predict_image_coreml.swift", _UNPACK, executed=False),
    _Template("Swift, Core ML in float", "coreml_float", "predict_image_coreml.swift", _UNPACK, executed=False),
)
_SOUND_TEMPLATES = (
    _Template("Python, ONNX Runtime", "onnx", "predict_sound_onnx.py", _ONNX, executed=True),
    _Template("Python, LiteRT", "litert", "predict_sound_litert.py", _LITERT, executed=True),
    _Template("C", "c", "predict_sound.c", _COMPILE_SOUND, executed=True),
    _Template("Python, NumPy only", "python", "predict_sound_numpy.py", _NUMPY, executed=True),
    _Template("WebAssembly, Node or browser", "wasm", "predict_sound_wasm.mjs", "node predict_sound_wasm.mjs", executed=True),
    _Template("Python, ONNX Runtime in float", "onnx_float", "predict_sound_onnx.py", _ONNX, executed=True),
    _Template("Python, LiteRT in float", "litert_float", "predict_sound_litert.py", _LITERT, executed=True),
    _Template("C in float", "c_float", "predict_sound.c", _COMPILE_SOUND, executed=True),
    _Template("WebAssembly in float", "wasm_float", "predict_sound_wasm.mjs", "node predict_sound_wasm.mjs", executed=True),
    _Template("Python, in float", "python_float", "predict_sound_numpy.py", _NUMPY, executed=True),
)


_VECTOR_TEMPLATES = (
    _Template("Python, ONNX Runtime", "onnx", "predict_vector_onnx.py", _ONNX, executed=True),
    _Template("Python, LiteRT", "litert", "predict_vector_litert.py", _LITERT, executed=True),
    _Template("C", "c", "predict_vector.c", _COMPILE_VECTOR, executed=True),
    _Template("Python, NumPy only", "python", "predict_vector_numpy.py", _NUMPY, executed=True),
    _Template("WebAssembly, Node or browser", "wasm", "predict_vector_wasm.mjs", "node predict_vector_wasm.mjs", executed=True),
    _Template("Python, ONNX Runtime in float", "onnx_float", "predict_vector_onnx.py", _ONNX, executed=True),
    _Template("Python, LiteRT in float", "litert_float", "predict_vector_litert.py", _LITERT, executed=True),
    _Template("C in float", "c_float", "predict_vector.c", _COMPILE_VECTOR, executed=True),
    _Template("WebAssembly in float", "wasm_float", "predict_vector_wasm.mjs", "node predict_vector_wasm.mjs", executed=True),
    _Template("Python, in float", "python_float", "predict_vector_numpy.py", _NUMPY, executed=True),
)
_KINDS = {
    "text": _TEMPLATES,
    "image": _IMAGE_TEMPLATES,
    "sound": _SOUND_TEMPLATES,
    "vector": _VECTOR_TEMPLATES,
    "window": _VECTOR_TEMPLATES,
}


def snippets(member: Member) -> tuple[Snippet, ...]:
    """Return a program for each platform whose format ``member`` has; paths are relative to the family's folder.

    There is none for encrypted files, which no runtime reads by itself.
    """
    if member.encrypted_for:
        return ()
    files = {file.format: PurePosixPath(file.path).name for file in member.files}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - programs, not HTML; the page escapes them as a whole
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quote"] = shlex.quote
    filled = []
    for template in _KINDS[member.example]:
        if template.format in files:
            values = {
                "folder": member.path,
                "file": files[template.format],
                "stem": files[template.format].partition(".")[0],
                "in_float": template.format in FLOAT_FORMATS,
                "name": f"{member.name}_float" if template.format in FLOAT_FORMATS else member.name,
                "shape": member.image_shape,
                "input_bytes": member.input_bytes,
            }
            filled.append(
                Snippet(
                    platform=template.platform,
                    format=template.format,
                    filename=template.filename,
                    setup=environment.from_string(template.setup).render(values),
                    code=environment.get_template(f"{template.filename}.j2").render(values),
                    executed=template.executed,
                )
            )
    return tuple(filled)

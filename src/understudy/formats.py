"""The words in ``--format``: what comes with understudy, and what other packages add through an entry point."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

FORMATS = (
    "onnx",
    "litert",
    "c",
    "python",
    "wasm",
    "arduino",
    "coreml",
    "executorch",
    "executorch_xnnpack",
    "onnx_float",
    "litert_float",
    "coreml_float",
    "executorch_float",
    "c_float",
    "python_float",
    "wasm_float",
    "arduino_float",
)
"""The formats that come with understudy."""
_COMPUTED = ("c_float", "python_float", "wasm_float", "arduino_float")
"""Those in float whose loops are written by us."""
DEFAULT_FORMATS = ("onnx", "litert", "c")
"""What a job writes unless it says otherwise."""
RECURRENT_FORMATS = ("onnx", "c", "python", "wasm", "arduino", "onnx_float", *_COMPUTED)
"""Those of ours that hold a loop over time; the others refuse the student projection_rnn."""
ISLAND_FORMATS = ("onnx", "litert", "onnx_float", "litert_float")
"""Those of ours that hold float islands: the layer norms and attention of a vision transformer."""
FLOAT_FORMATS = ("onnx_float", "litert_float", "coreml_float", "executorch_float", *_COMPUTED)
"""Those of ours whose tensors are float32; they refuse the student projection_cnn, which takes signs of what layers give."""
RAM, FLOAT_RAM = "ram", "float_ram"
C_FORMATS = {RAM: ("c", "arduino"), FLOAT_RAM: ("c_float", "arduino_float")}
"""Those of ours that are C for devices, by the name of the limit of their RAM, which is the same in a group, as its C is."""
LIMIT_WORDS = {RAM: "RAM", FLOAT_RAM: "RAM in float"}
"""How people read the limits that are no files."""
ENTRY_POINTS = "understudy.formats"
"""Entry-point group: name of the format to a class that follows ``export.protocol.Exporter``, made without arguments."""


def default_formats(student: str) -> tuple[str, ...]:
    """Return what a job for ``student`` writes unless it says otherwise."""
    return tuple(name for name in DEFAULT_FORMATS if student != "projection_rnn" or name in RECURRENT_FORMATS)


def ram_limits(formats: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the limits of RAM that ``formats`` have: one for each group of ``C_FORMATS`` among them."""
    asked = set(formats)
    return tuple(name for name, group in C_FORMATS.items() if asked & set(group))


def added_formats() -> dict[str, EntryPoint]:
    """Return the formats that installed packages add; none can replace one of ours."""
    found = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    return {name: found[name] for name in sorted(found) if name not in FORMATS}


def ignored_formats() -> tuple[EntryPoint, ...]:
    """Return what installed packages would add under the name of one of ours."""
    return tuple(point for point in entry_points(group=ENTRY_POINTS) if point.name in FORMATS)


def source(point: EntryPoint) -> str:
    """Return the name of the package that ``point`` comes from, or its module where no package says so."""
    return point.dist.name if point.dist is not None else point.module


def known_formats() -> tuple[str, ...]:
    """Return every word that ``--format`` takes here."""
    return (*FORMATS, *added_formats())

"""The table of formats. A format's module is imported on first use, because its packages may be missing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path

from understudy.errors import InputError, SetupError, UnderstudyError
from understudy.export.protocol import Exporter, Session
from understudy.formats import FORMATS, added_formats, known_formats, source

__all__ = ["FORMATS", "exporter", "opened"]


def _onnx() -> Exporter:
    from understudy.export.onnx import OnnxExporter

    return OnnxExporter()


def _litert() -> Exporter:
    from understudy.export.litert import LitertExporter

    return LitertExporter()


def _c() -> Exporter:
    from understudy.export.c import CExporter

    return CExporter()


def _python() -> Exporter:
    from understudy.export.python import PythonExporter

    return PythonExporter()


def _wasm() -> Exporter:
    from understudy.export.wasm import WasmExporter

    return WasmExporter()


def _arduino() -> Exporter:
    from understudy.export.arduino import ArduinoExporter

    return ArduinoExporter()


def _coreml() -> Exporter:
    from understudy.export.coreml import CoremlExporter

    return CoremlExporter()


def _executorch() -> Exporter:
    from understudy.export.executorch import ExecutorchExporter

    return ExecutorchExporter()


def _executorch_xnnpack() -> Exporter:
    from understudy.export.executorch_xnnpack import ExecutorchXnnpackExporter

    return ExecutorchXnnpackExporter()


def _onnx_float() -> Exporter:
    from understudy.export.onnx_float import OnnxFloatExporter

    return OnnxFloatExporter()


def _litert_float() -> Exporter:
    from understudy.export.litert_float import LitertFloatExporter

    return LitertFloatExporter()


def _coreml_float() -> Exporter:
    from understudy.export.coreml_float import CoremlFloatExporter

    return CoremlFloatExporter()


def _executorch_float() -> Exporter:
    from understudy.export.executorch_float import ExecutorchFloatExporter

    return ExecutorchFloatExporter()


def _c_float() -> Exporter:
    from understudy.export.c_float import CFloatExporter

    return CFloatExporter()


def _wasm_float() -> Exporter:
    from understudy.export.wasm_float import WasmFloatExporter

    return WasmFloatExporter()


def _arduino_float() -> Exporter:
    from understudy.export.arduino_float import ArduinoFloatExporter

    return ArduinoFloatExporter()


def _python_float() -> Exporter:
    from understudy.export.python_float import PythonFloatExporter

    return PythonFloatExporter()


_TABLE: dict[str, Callable[[], Exporter]] = {
    "onnx": _onnx,
    "litert": _litert,
    "c": _c,
    "python": _python,
    "wasm": _wasm,
    "arduino": _arduino,
    "coreml": _coreml,
    "executorch": _executorch,
    "executorch_xnnpack": _executorch_xnnpack,
    "onnx_float": _onnx_float,
    "litert_float": _litert_float,
    "coreml_float": _coreml_float,
    "executorch_float": _executorch_float,
    "c_float": _c_float,
    "python_float": _python_float,
    "wasm_float": _wasm_float,
    "arduino_float": _arduino_float,
}


def exporter(format_name: str) -> Exporter:
    """Return the exporter for ``format_name``, ours or one that an installed package adds.

    Raises:
        InputError: no such format.
        SetupError: the format's packages are not installed, or the package that adds it cannot be loaded.
    """
    if format_name in _TABLE:
        return _TABLE[format_name]()
    added = added_formats()
    if format_name not in added:
        raise InputError(
            f"a format is one of {', '.join(known_formats())}: received format={format_name!r}; choose one of them"
        )
    return _loaded(added[format_name])


def _loaded(point: EntryPoint) -> Exporter:
    try:
        found: Exporter = point.load()()
    except UnderstudyError:
        raise
    except Exception as error:  # another package's code may fail in any way
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise SetupError(
            f"a format is loaded from the package that adds it: received format={point.name!r} from package={source(point)!r} "
            f"({point.value}), where {said}; install that package again with what it needs, or remove it"
        ) from error
    return found


@contextmanager
def opened(format_name: str, contents: Mapping[str, bytes], *, name: str) -> Iterator[Session]:
    """Open files that were just exported, in a folder that is gone afterwards.

    Args:
        format_name: see ``exporter``.
        contents: file name to bytes, as the exporter returned them.
        name: stem of the C symbols, as it was exported.
    """
    with tempfile.TemporaryDirectory(prefix="understudy-") as temporary:
        for filename, content in contents.items():
            (Path(temporary) / filename).write_bytes(content)
        yield exporter(format_name).open(Path(temporary), name=name)

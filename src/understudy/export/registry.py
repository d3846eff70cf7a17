"""The table of formats. A format's module is imported on first use, because its packages may be missing."""

from __future__ import annotations

from collections.abc import Callable

from understudy.errors import InputError
from understudy.export.protocol import Exporter

FORMATS = ("onnx", "litert", "c")


def _onnx() -> Exporter:
    from understudy.export.onnx import OnnxExporter

    return OnnxExporter()


def _litert() -> Exporter:
    from understudy.export.litert import LitertExporter

    return LitertExporter()


def _c() -> Exporter:
    from understudy.export.c import CExporter

    return CExporter()


_TABLE: dict[str, Callable[[], Exporter]] = {"onnx": _onnx, "litert": _litert, "c": _c}


def exporter(format_name: str) -> Exporter:
    """Return the exporter for ``format_name``.

    Raises:
        InputError: no such format.
        SetupError: the format's packages are not installed.
    """
    if format_name not in _TABLE:
        raise InputError(f"a format is one of {', '.join(FORMATS)}: received format={format_name!r}; choose one of them")
    return _TABLE[format_name]()

"""The protobuf messages of Core ML files, from coremltools but without importing it: that loads torch and takes seconds."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["MIL", "FeatureTypes", "Model"]

_PACKAGE = "_understudy_coreml_messages"


def _messages(name: str) -> Any:
    """Return one of coremltools' generated modules, which import only each other and protobuf.

    Raises:
        ImportError: coremltools is not installed.
    """
    if _PACKAGE not in sys.modules:
        found = find_spec("coremltools")
        if found is None or found.origin is None:
            raise ModuleNotFoundError("no coremltools", name="coremltools")
        package = ModuleType(_PACKAGE)
        package.__path__ = [str(Path(found.origin).parent / "proto")]
        sys.modules[_PACKAGE] = package
    return import_module(f"{_PACKAGE}.{name}_pb2")


MIL: Any = _messages("MIL")
Model: Any = _messages("Model")
FeatureTypes: Any = _messages("FeatureTypes")

"""What tests of the WebAssembly format need beside Python."""

from __future__ import annotations

import shutil

import pytest

_MISSING = [tool for tool in ("clang", "wasm-ld", "node") if shutil.which(tool) is None]

needs_wasm = pytest.mark.skipif(bool(_MISSING), reason=f"WebAssembly needs {', '.join(_MISSING) or 'nothing more'}")
"""For tests that write a WebAssembly model, or run one."""

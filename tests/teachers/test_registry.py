"""Teachers are recognised without importing a framework, and what is none is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from understudy.errors import InputError
from understudy.teachers.registry import load_text_teacher


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("absent.onnx", r"received teacher='[^']*absent\.onnx', which is no file; check the path or the name"),
        ("folder.onnx", r"which is no file"),
        ("model.h5", r"a teacher is a Python function .*; convert it to one of these, or load it in a Python function"),
        ("x" * 5000, r"which is no file"),
    ],
)
def test_names_of_nothing(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "model.h5").write_bytes(b"\x89HDF")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(InputError, match=message):
        load_text_teacher(tmp_path / source, class_names=("a", "b"))


@pytest.mark.parametrize("source", [None, 5, {"a": 1}, [1.0]])
def test_objects_that_are_no_teacher(source: Any) -> None:
    with pytest.raises(InputError, match=r"a function from texts to logits.*received type='\w+'; wrap it in a function"):
        load_text_teacher(source, class_names=("a", "b"))


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "t.npz"
    path.touch()
    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(InputError, match=r"file must be readable: received teacher=.* \(Permission denied\); check the path"):
        load_text_teacher(path, class_names=("a", "b"))


def test_functions_and_npz_files_need_no_framework(tmp_path: Path) -> None:
    script = f"""
import sys
import numpy as np
from understudy.teachers.registry import load_text_teacher
np.savez({str(tmp_path / "t.npz")!r}, logits=np.eye(2), texts=np.array(["x", "y"]))
load_text_teacher({str(tmp_path / "t.npz")!r}, class_names=("a", "b")).logits(["y"])
load_text_teacher(lambda texts: np.zeros((len(texts), 2)), class_names=("a", "b")).logits(["y"])
heavy = {{"torch", "onnx", "onnxruntime", "ai_edge_litert", "pyarrow", "sklearn"}} & set(sys.modules)
sys.exit(f"imported {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""A bundle replaces an older one whole or not at all, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundles import make_bundle
from command import contents
from understudy.bundle import Bundle
from understudy.bundle.write import write_folder
from understudy.errors import SetupError


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "copy")
    return tmp_path / "copy"


def test_an_older_bundle_is_replaced_whole(copy: Path) -> None:
    make_bundle(copy, formats=("onnx",))
    assert not (copy / "model.tflite").exists()
    assert Bundle.open(copy).formats == ("onnx",)
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_another_folder_is_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(SetupError, match=r"replaces only an older bundle or an empty folder: received folder=.*documents"):
        make_bundle(folder, formats=("onnx",))
    assert contents(tmp_path) == {"documents/thesis.txt": b"years of work"}


def test_a_failed_write_leaves_nothing_and_the_old_bundle(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(copy.parent)
    real = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if self.name == "vectors.npz":
            raise OSError(28, "No space left on device")
        return real(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SetupError, match=r"\(No space left on device\); check its permissions and the free space"):
        make_bundle(copy, formats=("onnx",))
    assert contents(copy.parent) == before


def test_a_missing_parent_is_an_error_of_the_environment(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="No such file or directory"):
        make_bundle(tmp_path / "no" / "such", formats=("onnx",))


@pytest.mark.parametrize("moment", ["while filling", "between the renames"])
def test_a_killed_writer_leaves_the_old_bundle_for_the_next(copy: Path, moment: str) -> None:
    before = contents(copy)
    if moment == "while filling":
        (copy.parent / ".copy.partial").mkdir()
        (copy.parent / ".copy.partial" / "model.onnx").write_bytes(b"half")
    else:
        copy.rename(copy.parent / ".copy.previous")
    (copy.parent / "other").mkdir()
    write_folder(copy, before)
    assert contents(copy) == before
    assert sorted(path.name for path in copy.parent.iterdir()) == ["copy", "other"]


def test_a_rename_that_fails_leaves_the_old_bundle(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(copy.parent)
    real = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise OSError(5, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(SetupError, match="Input/output error"):
        make_bundle(copy, formats=("onnx",))
    assert contents(copy.parent) == before

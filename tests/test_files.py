from __future__ import annotations

from pathlib import Path

import pytest

from understudy.errors import SetupError
from understudy.files import write_text


def test_the_file_holds_the_text_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    write_text(tmp_path / "note.txt", "first\n")
    write_text(tmp_path / "note.txt", "größer\n")
    assert (tmp_path / "note.txt").read_bytes() == "größer\n".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        SetupError, match=r"^the output folder must exist, be writable and have room: received path=.*; make that folder"
    ):
        write_text(tmp_path / "absent" / "note.txt", "text")


def test_a_failure_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "note.txt", "old")

    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(SetupError, match="No space left on device"):
        write_text(tmp_path / "note.txt", "new")
    assert (tmp_path / "note.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]

"""Projection students for images as users make them: every file verified, the choice of rows in the bundle, joint training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from command import understudy
from understudy.bundle import Bundle
from understudy.family import Family
from understudy.program import archive
from understudy.program.ops import ProjectBoxes

JOB = """
budgets = ["{budget}"]
student = "{student}"
formats = ["onnx", "litert", "c", "python"]
[data]
train = "digits.npz"
[training]
epochs = {epochs}
refit = false
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    digits = load_digits()
    np.savez(folder / "digits.npz", x=np.minimum(digits.images * 16, 255).astype(np.uint8), y=digits.target)
    return folder


@pytest.mark.slow
def test_a_projection_net_is_exact_in_every_format(folder: Path) -> None:
    (folder / "net.toml").write_text(JOB.format(student="projection_net", budget="8KB", epochs=15))
    result = understudy("compress", "net.toml", "--out", "net", folder=folder)
    assert result.exit_code == 0, result.err
    [member] = Family.load(folder / "net").members
    assert member.student == "projection_net"
    assert all(file.verified and file.agreement == 1.0 and file.size_bytes <= 8 * 1024 for file in member.files)
    assert member.accuracy > 0.9
    assert member.recipe["candidates"] == 4096
    constants = {
        f: next(row.bytes for row in rows if row.where == "projection constants") for f, rows in member.byte_table.items()
    }
    assert set(constants) == {"onnx", "litert", "c", "python"}
    assert max(constants.values()) <= 8 * int(str(member.recipe["features"]))
    program = archive.loads((folder / "net" / member.path / "program.npz").read_bytes())
    [node] = [node for node in program.nodes if isinstance(node, ProjectBoxes)]
    assert len(set(node.projection.rows)) == member.recipe["features"]
    assert node.projection.rows != tuple(range(node.projection.features))
    assert Bundle.open(folder / "net" / member.path).verify("c").verified


@pytest.mark.slow
def test_a_projection_cnn_learns_beside_its_teacher(folder: Path) -> None:
    (folder / "cnn.toml").write_text(JOB.format(student="projection_cnn", budget="16KB", epochs=50) + 'mode = "joint"\n')
    result = understudy("compress", "cnn.toml", "--out", "cnn", folder=folder)
    assert result.exit_code == 0, result.err
    family = Family.load(folder / "cnn")
    [member] = family.members
    assert all(file.verified and file.agreement == 1.0 for file in member.files)
    assert member.accuracy > 0.93
    assert member.twin is not None
    assert family.teacher is not None
    assert family.teacher.name == "trained jointly"
    assert family.teacher.accuracy is not None
    assert family.teacher.accuracy > 0.93


@pytest.mark.parametrize(
    ("data", "student", "message"),
    [
        (
            "digits.npz",
            "sgnn",
            "a student for images is one of separable_cnn, plain_cnn, projection_net, projection_cnn, pruned: received",
        ),
        ("texts.csv", "projection_cnn", "a student for texts is one of projection_sequence, sgnn, projection_net: received"),
    ],
)
def test_a_student_for_other_data_is_refused(folder: Path, data: str, student: str, message: str) -> None:
    (folder / "texts.csv").write_text("text,label\n" + "".join(f"say {i},{i % 2}\n" for i in range(60)))
    result = understudy("compress", data, "--student", student, "--budget", "16KB", "--out", "never", folder=folder)
    assert result.exit_code == 2
    assert message in result.err

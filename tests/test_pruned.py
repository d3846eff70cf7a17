"""The user's own network, from a Python file to verified smaller files, as users do it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import networks
import vision_transformers
from command import understudy
from emulators import need_microcontrollers
from networks import (
    CrossStageNet,
    DenseNet,
    EfficientNet,
    MobileNetV2,
    MobileNetV3,
    Perceptron,
    ResNet,
    ResNeXt,
    ShuffleNet,
    SmallImageResNet,
)
from understudy.bundle import Bundle
from understudy.family import Family
from vision_transformers import VisionTransformer

JOB = """
student = "pruned"
[data]
train = "digits.npz"
[training]
epochs = {epochs}
refit = false
"""
MODEL = """\
import torch
from networks import CrossStageNet, DenseNet, EfficientNet, MobileNetV2, MobileNetV3, Perceptron, ResNet, ResNeXt
from networks import ShuffleNet, SmallImageResNet
from vision_transformers import VisionTransformer


def made(kind, *arguments):
    network = kind(*arguments)
    network.load_state_dict(torch.load(f"{kind.__name__}.pt"))
    return network


def resnet():
    return made(ResNet, 1)


def mobilenet():
    return made(MobileNetV2, 1, 16)


def mobilenet_v3():
    return made(MobileNetV3, 1, 16)


def efficientnet():
    return made(EfficientNet, 1, 16)


def densenet():
    return made(DenseNet, 1)


def resnext():
    return made(ResNeXt, 1)


def cross_stage():
    return made(CrossStageNet, 1)


def small_image_resnet():
    return made(SmallImageResNet, 1)


def shufflenet():
    return made(ShuffleNet, 1, 24)


def perceptron():
    return made(Perceptron, 64)


def transformer():
    return made(VisionTransformer, 1)


def tiny_transformer():
    return VisionTransformer(1, width=4, depth=1)


def normed():
    return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.LayerNorm(6), torch.nn.Flatten(), torch.nn.Linear(144, 10))


def function(images):
    return images.reshape(len(images), -1)[:, :10].astype(float)
"""


def train(network: nn.Module, images: torch.Tensor, labels: torch.Tensor, *, epochs: int) -> None:
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    network.train()
    for _ in range(epochs):
        for index in torch.randperm(len(images)).split(64):
            loss = nn.functional.cross_entropy(network(images[index]), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with handwritten digits and the file with the user's networks."""
    place = tmp_path_factory.mktemp("pruned")
    digits = load_digits()
    np.savez(place / "digits.npz", x=np.minimum(digits.images * 16, 255).astype(np.uint8), y=digits.target)
    for module in (networks, vision_transformers):
        shutil.copy(Path(str(module.__file__)), place)
    (place / "my_model.py").write_text(MODEL)
    (place / "job.toml").write_text(JOB.format(epochs=8))
    (place / "long.toml").write_text(JOB.format(epochs=40))
    return place


def save(folder: Path, network: nn.Module, *, epochs: int) -> None:
    with np.load(folder / "digits.npz") as archive:
        images, labels = torch.from_numpy(archive["x"][:, None].astype(np.float32) / 255), torch.from_numpy(archive["y"])
    train(network, images, labels, epochs=epochs)
    torch.save(network.state_dict(), folder / f"{type(network).__name__}.pt")


@pytest.mark.slow
def test_a_residual_network_keeps_a_share_of_its_weights(folder: Path) -> None:
    torch.manual_seed(0)
    save(folder, ResNet(1), epochs=6)
    command = ("compress", "job.toml", "--teacher", "my_model.py:resnet", "--keep", "0.4", "--max-macs", "20k")
    result = understudy(*command, "--out", "resnet", folder=folder)
    assert result.exit_code == 0, result.err
    assert "reading the network" in result.err
    family = Family.load(folder / "resnet")
    [member] = family.members
    assert (member.budget, member.student) == ("40%", "pruned")
    assert [file.format for file in member.files] == ["onnx", "litert", "c"]
    assert all(file.verified and file.agreement == 1.0 for file in member.files)
    found = member.pruning
    assert found is not None and member.macs is not None and member.twin is not None
    assert 0.2 * found.weights_before < found.weights_after <= 0.4 * found.weights_before
    assert found.macs_after == member.macs <= 20_000 < found.macs_before
    assert family.teacher is not None and family.teacher.accuracy == pytest.approx(found.accuracy_before, abs=0.01)
    assert found.accuracy_cut < found.accuracy_finetuned - 0.1
    assert member.accuracy > 0.8
    assert {point.phase for point in member.learning_curve} == {"train", "quantize"}
    assert "accuracy before 9" in result.out
    assert "after fine-tuning" in result.out
    page = (folder / "resnet" / "report.html").read_text()
    assert "after fine-tuning" in page
    evaluation = understudy("evaluate", "resnet/40%", "digits.npz", "--json", folder=folder)
    assert evaluation.exit_code == 0, evaluation.err
    assert all(file["verified"] for file in json.loads(evaluation.out)["files"])
    before = (folder / "resnet" / "40%" / "manifest.json").read_bytes()
    again = understudy(*command, "--out", "resnet", folder=folder)
    assert again.exit_code == 0, again.err
    assert (folder / "resnet" / "40%" / "manifest.json").read_bytes() == before


@pytest.mark.slow
def test_a_network_is_pruned_until_it_is_fast_enough(folder: Path) -> None:
    need_microcontrollers()
    torch.manual_seed(0)
    save(folder, ResNet(1), epochs=6)
    command = ("compress", "job.toml", "--teacher", "my_model.py:resnet", "--budget", "8KB", "--format", "c")
    result = understudy(*command, "--max-latency", "5ms@cortex-m4", "--out", "fast", folder=folder)
    assert result.exit_code == 0, result.err
    [member] = Family.load(folder / "fast").members
    [check] = member.latency_checks
    assert check.latency_us <= check.limit_us == 5000
    assert 0.7 * check.limit_us < check.estimated_us  # no smaller than it has to be
    assert member.pruning is not None and member.pruning.weights_after < 0.8 * member.pruning.weights_before
    assert member.accuracy > 0.7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "network", "budget", "wanted"),
    [
        ("mobilenet", lambda: MobileNetV2(1, 16), "14KB", 0.9),
        ("mobilenet_v3", lambda: MobileNetV3(1, 16), "24KB", 0.9),
        ("efficientnet", lambda: EfficientNet(1, 16), "28KB", 0.9),
        ("densenet", lambda: DenseNet(1), "11KB", 0.75),
        ("resnext", lambda: ResNeXt(1), "12KB", 0.8),
        ("cross_stage", lambda: CrossStageNet(1), "9KB", 0.9),
        ("small_image_resnet", lambda: SmallImageResNet(1), "7KB", 0.9),
        ("shufflenet", lambda: ShuffleNet(1, 24), "10KB", 0.9),
        ("perceptron", lambda: Perceptron(64), "6KB", 0.9),
    ],
)
def test_other_networks_keep_to_bytes_in_every_format(
    name: str, network: type[nn.Module], budget: str, wanted: float, folder: Path
) -> None:
    torch.manual_seed(0)
    save(folder, network(), epochs=20)
    formats = [word for each in ("onnx", "litert", "c", "python", "wasm", "arduino") for word in ("--format", each)]
    command = ("compress", "long.toml", "--teacher", f"my_model.py:{name}", "--budget", budget)
    result = understudy(*command, *formats, "--out", name, folder=folder)
    assert result.exit_code == 0, result.err
    [member] = Family.load(folder / name).members
    assert len(member.files) == 6
    assert all(file.verified and file.agreement == 1.0 and file.size_bytes <= member.budget_bytes for file in member.files)
    assert member.accuracy > wanted


@pytest.mark.slow
def test_a_vision_transformer_is_delivered_with_its_islands_named(folder: Path) -> None:
    torch.manual_seed(0)
    save(folder, VisionTransformer(1), epochs=20)
    command = ("compress", "job.toml", "--teacher", "my_model.py:transformer", "--budget", "17KB", "--max-macs", "60k")
    result = understudy(*command, "--format", "onnx", "--format", "litert", "--out", "transformer", folder=folder)
    assert result.exit_code == 0, result.err
    [member] = Family.load(folder / "transformer").members
    assert [file.format for file in member.files] == ["onnx", "litert"]
    assert all(file.verified and file.agreement > 0.98 and file.size_bytes <= 17 * 1024 for file in member.files)
    assert len(member.float_islands) == 7
    found = member.pruning
    assert found is not None and found.weights_after < found.weights_before
    assert found.macs_after == member.macs <= 60_000 < found.macs_before
    assert member.accuracy > 0.7
    bundle = Bundle.open(folder / "transformer" / "17KB")
    assert bundle.manifest.float_islands == member.float_islands
    assert all(bundle.verify(name).verified for name in bundle.formats)
    assert "Float islands" in (bundle.folder / "card.md").read_text()
    assert "17KB: float islands: layer norm in blocks.0.norm1; attention in blocks.0.attn; layer norm" in result.out
    assert "<dt>float islands</dt><dd>layer norm in blocks.0.norm1" in (folder / "transformer" / "report.html").read_text()
    refused = understudy("export", "transformer/17KB", "--to", "python", folder=folder)
    assert refused.exit_code == 2
    assert "received a float island, layer norm in blocks.0.norm1; ask for --format onnx" in refused.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--teacher", "my_model.py:normed", "--keep", "0.5"), "received op='layer_norm' in module '1' of"),
        (("--teacher", "my_model.py:function", "--keep", "0.5"), "which must be a torch module for images: received teacher="),
        (("--keep", "0.5"), "received teacher.source='auto'"),
        (
            ("--teacher", "my_model.py:tiny_transformer", "--budget", "12KB"),
            "received a float island, layer norm in blocks.0.norm1; ask for --format onnx --format litert",
        ),
        (
            ("--teacher", "my_model.py:normed", "--student", "separable_cnn", "--keep", "0.5"),
            "received budget='50%' for student=",
        ),
        (
            ("--teacher", "my_model.py:normed", "--keep", "1.5"),
            "a share of a network is more than 0 and less than 1: received keep=1.5",
        ),
        (("--teacher", "my_model.py:normed", "--budget", "150%"), "is between 0% and 100%: received budget='150%'"),
    ],
)
def test_what_cannot_be_pruned_is_said_in_one_line(arguments: tuple[str, ...], message: str, folder: Path) -> None:
    result = understudy("compress", "job.toml", *arguments, "--out", "refused", "--dry-run", folder=folder)
    assert result.exit_code == 2
    [line] = result.err.strip().splitlines()[-1:]
    assert message in line
    assert not (folder / "refused").exists()

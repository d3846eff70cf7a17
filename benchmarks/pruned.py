"""Networks that understudy did not write, pruned to bytes: the table of docs/benchmarks.md.

    python benchmarks/pruned.py --seeds 3
    python benchmarks/pruned.py --network ResNet --budget 5KB

Each run trains a small network of a known kind (tests/networks.py, tests/vision_transformers.py) on scikit-learn's digits, 16
values stretched to a byte, as its owner would, and hands it to ``compress`` with the student ``pruned``. A fifth of the digits
is the test split, which the network and its pruned students see once. Appends JSON lines to benchmarks/results/pruned.jsonl.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from records import REPOSITORY, RESULTS, append, origin
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from text import Lines
from torch import nn

import understudy

sys.path.insert(0, str(REPOSITORY / "tests"))
import networks  # the tests' networks, found by the line above
import vision_transformers

NETWORKS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "ResNet": (lambda: networks.ResNet(1), "6KB"),
    "MobileNetV2": (lambda: networks.MobileNetV2(1, 16), "14KB"),
    "MobileNetV3": (lambda: networks.MobileNetV3(1, 16), "24KB"),
    "EfficientNet": (lambda: networks.EfficientNet(1, 16), "24KB"),
    "DenseNet": (lambda: networks.DenseNet(1), "7KB"),
    "VisionTransformer": (lambda: vision_transformers.VisionTransformer(width=32, heads=4), "24KB"),
    "Perceptron": (lambda: networks.Perceptron(64), "4KB"),
}
"""How each network is made, and the budget that asks for a real cut."""
FORMATS = ("onnx", "litert", "c")
ISLAND_FORMATS = FORMATS[:2]
"""What holds the layer norms and the attention of a transformer."""
EPOCHS_OF_ITS_OWNER = 20
EPOCHS = 40
Array = npt.NDArray[np.generic]


def split(seed: int) -> dict[str, Array]:
    """Return the digits ``[n, 8, 8]`` as pictures of bytes, a fifth of them the test split."""
    digits = load_digits()
    pictures = np.minimum(digits.images * 16, 255).astype(np.uint8)
    parts = train_test_split(pictures, digits.target, test_size=0.2, stratify=digits.target, random_state=seed)
    return dict(zip(("x_train", "x_test", "y_train", "y_test"), parts, strict=True))


def tensors(images: Array, labels: Array) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images in 0..1 ``[n, 1, 8, 8]`` and labels ``[n]``."""
    return torch.from_numpy(images[:, None].astype(np.float32) / 255), torch.from_numpy(labels)


def train(network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Train ``network`` as its owner did."""
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    network.train()
    for _ in range(EPOCHS_OF_ITS_OWNER):
        for index in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[index]), labels[index]).backward()
            optimizer.step()
    network.eval()


def run(name: str, *, budget: str, seed: int) -> dict[str, object]:
    """Return the row of one job."""
    begin = time.monotonic()
    torch.manual_seed(seed)
    network, arrays = NETWORKS[name][0](), split(seed)
    train(network, *tensors(arrays["x_train"], arrays["y_train"]))
    images, labels = tensors(arrays["x_test"], arrays["y_test"])
    with torch.no_grad():
        before = float((network(images).argmax(1) == labels).float().mean())
    with tempfile.TemporaryDirectory() as temporary:
        np.savez(Path(temporary) / "digits.npz", **arrays)
        family = understudy.compress(
            data=Path(temporary) / "digits.npz",
            budgets=[budget],
            teacher=network,
            student="pruned",
            formats=ISLAND_FORMATS if name == "VisionTransformer" else FORMATS,
            out=Path(temporary) / "run",
            progress=Lines(),
            seed=seed,
            name="pruned",
            **{"training.epochs": EPOCHS},
        )
    [member] = family.members
    assert member.pruning is not None
    return {
        "network": name,
        "budget": budget,
        "seed": seed,
        "accuracy_before": before,
        "accuracy_cut": member.pruning.accuracy_cut,
        "accuracy": {file.format: file.accuracy for file in member.files},
        "agreement": {file.format: file.agreement for file in member.files},
        "size_bytes": {file.format: file.size_bytes for file in member.files},
        "weights_before": member.pruning.weights_before,
        "weights_after": member.pruning.weights_after,
        "macs_before": member.pruning.macs_before,
        "macs_after": member.pruning.macs_after,
        "test_images": len(labels),
        **origin(family, begin),
    }


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", action="append", choices=sorted(NETWORKS), help="default: all")
    parser.add_argument("--budget", help="default: the network's own")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS / "pruned.jsonl")
    arguments = parser.parse_args()
    for seed in range(1, arguments.seeds + 1):
        for name in arguments.network or NETWORKS:
            row = run(name, budget=arguments.budget or NETWORKS[name][1], seed=seed)
            append(arguments.results, row)
            print(name, seed, row["accuracy_before"], row["accuracy_cut"], row["accuracy"], row["size_bytes"], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

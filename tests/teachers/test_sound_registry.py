"""Teachers for sounds: of samples or of log-mel pictures, in the axes and range that are found out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from recordings import tone
from understudy.errors import InputError
from understudy.export.registry import exporter
from understudy.program.interpreter import run
from understudy.projections.log_mel import LogMel
from understudy.teachers.sound_registry import load_sound_teacher
from understudy.testing.sound_programs import sound_program

RATE, LOG_MEL = 8000, LogMel(2048, 8000)
NAMES = ("high", "low", "noise")


def recordings(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ``count`` sounds int16 and their classes: high tones, low tones and noise, of any loudness."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    made = []
    for label in labels:
        hertz = rng.uniform(2500, 3500) if label == 0 else rng.uniform(300, 900)
        sound = tone(hertz, seconds=LOG_MEL.seconds, rate=RATE, loudness=1)
        noise = np.clip(rng.normal(0, 0.3, LOG_MEL.samples), -1, 1)
        made.append(rng.uniform(0.05, 0.9) * (noise if label == 2 else sound))
    return np.rint(32767 * np.array(made)).astype(np.int16), labels


SOUNDS, LABELS = recordings(90, 0)


def loaded(source: object, sounds: np.ndarray = SOUNDS) -> object:
    return load_sound_teacher(
        source, class_names=NAMES, sounds=sounds, labels=LABELS, log_mel=LOG_MEL, training_sounds=lambda: sounds
    )


def by_crossings(sounds: np.ndarray) -> np.ndarray:
    """Answer by how often samples int16 ``[N, samples]`` change their sign, and how evenly."""
    assert sounds.dtype == np.int16
    signs = sounds > 0
    turns = np.array([np.diff(np.flatnonzero(row[1:] != row[:-1])) for row in signs], object)
    rates = np.array([len(each) / sounds.shape[1] for each in turns])
    uneven = np.array([each.std() for each in turns])
    return np.stack([8 * rates - 2, 2 - 8 * rates, 4 * (uneven - 0.9)], axis=1)


def by_bands(seen: np.ndarray) -> np.ndarray:
    """Answer by the mean of each band of pictures uint8 ``[N, frames, 32, 1]``."""
    frames, bands, channels = seen.shape[1:]
    assert (seen.dtype, bands, channels) == (np.uint8, 32, 1)
    level = seen.reshape(-1, frames, bands).mean(axis=1) / 16
    best = level.argmax(axis=1)
    sharp = level.max(axis=1) - np.median(level, axis=1)
    return np.stack([(best - 22) / 2 + sharp, (22 - best) / 2 + sharp, 9 - sharp], axis=1)


def accuracy(teacher: object) -> float:
    sounds, labels = recordings(60, 1)
    return float((teacher.logits(sounds).argmax(axis=1) == labels).mean())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("function", "given"), [(by_crossings, "samples int16 [N, 2048]"), (by_bands, "log-mel pictures uint8 [N, 15, 32, 1]")]
)
def test_a_function_takes_samples_or_pictures(function: object, given: str) -> None:
    teacher = loaded(function)
    assert accuracy(teacher) > 0.75
    assert f"given {given}" in teacher.describe()  # type: ignore[attr-defined]
    assert loaded(function).digest == teacher.digest  # type: ignore[attr-defined]


def test_a_function_that_runs_on_both_is_given_what_it_is_right_about() -> None:
    def function(values: np.ndarray) -> np.ndarray:
        flat = values.reshape(len(values), -1).astype(np.float64)
        if values.ndim == 2:
            return np.stack([flat.mean(axis=1)] * 3, axis=1)
        return by_bands(values)

    teacher = loaded(function)
    assert "log-mel pictures" in teacher.describe()  # type: ignore[attr-defined]
    assert "found on 90 labelled sounds: accuracy" in teacher.describe()  # type: ignore[attr-defined]


class Filters(torch.nn.Module):
    """Two filters over samples ``[N, 1, samples]`` from -1 to 1; quiet sounds of another range would be all noise."""

    def forward(self, sounds: torch.Tensor) -> torch.Tensor:
        filters = torch.tensor([[[0.5, -0.5]], [[0.5, 0.5]]])
        power = torch.nn.functional.conv1d(sounds, filters).square().mean(dim=2).clamp(1e-9).log()
        return torch.stack([power[:, 0] - power[:, 1], power[:, 1] - power[:, 0], torch.zeros(len(sounds))], dim=1)


def test_a_torch_module_is_given_samples_in_the_axes_in_which_it_runs() -> None:
    teacher = loaded(Filters())
    assert "samples [N, 1, 2048], -1 to 1" in teacher.describe()  # type: ignore[attr-defined]
    with torch.no_grad():
        expected = Filters()(torch.from_numpy(SOUNDS[:5, None] / np.float32(32768))).numpy()
    np.testing.assert_allclose(teacher.logits(SOUNDS[:5]), expected, rtol=1e-4)  # type: ignore[attr-defined]


class Bands(torch.nn.Module):
    """Means of bands of pictures ``[N, 1, frames, bands]`` from 0 to 1."""

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        assert seen.ndim == 4 and seen.shape[1:] == (1, 15, 32)
        level = seen.mean(dim=(1, 2))
        best = level.argmax(dim=1).float()
        sharp = level.amax(dim=1) - level.median(dim=1).values
        return torch.stack([(best - 22) / 4 + 10 * sharp, (22 - best) / 4 + 10 * sharp, 5 - 5 * sharp], dim=1)


def test_a_torch_module_is_given_pictures_where_it_takes_them() -> None:
    teacher = loaded(Bands())
    assert "layout NCHW" in teacher.describe()  # type: ignore[attr-defined]
    assert "log-mel pictures" in teacher.describe()  # type: ignore[attr-defined]
    assert accuracy(teacher) > 0.6


def linear_onnx(path: Path, shape: tuple[int, ...], weight: np.ndarray) -> Path:
    """Write a linear model of floats on inputs ``[batch, *shape]``; its labels are beside it."""
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("MatMul", ["flat", "weight"], ["logits"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(weight.astype(np.float32), "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    (path.parent / "labels.txt").write_text("\n".join(NAMES) + "\n")
    return path


@pytest.mark.parametrize("shape", [(2048,), (1, 2048), (2048, 1), (2000,), (1, 2100)])
def test_an_onnx_file_declares_its_axes_and_length(shape: tuple[int, ...], tmp_path: Path) -> None:
    length = max(shape)
    weight = np.random.default_rng(0).normal(0, 1, (length, 3))
    teacher = loaded(linear_onnx(tmp_path / "model.onnx", shape, weight))
    assert f"samples [N, {', '.join(map(str, shape))}]" in teacher.describe()  # type: ignore[attr-defined]
    preparation = teacher.source.source.preparation  # type: ignore[attr-defined]
    given = preparation(SOUNDS[:4])
    assert given.shape == (4, *shape)
    begin = (2048 - length) // 2
    middle = given.reshape(4, length)[:, max(0, -begin) : max(0, -begin) + min(length, 2048)]
    kept = SOUNDS[:4, max(0, begin) : max(0, begin) + min(length, 2048)].astype(np.float64)
    assert min(np.corrcoef(a, b)[0, 1] for a, b in zip(middle, kept, strict=True)) > 0.9999
    np.testing.assert_allclose(teacher.logits(SOUNDS[:4]), given.reshape(4, length) @ weight, rtol=1e-2, atol=1e-2)  # type: ignore[attr-defined]


def test_an_onnx_file_of_pictures(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(0, 1, (15 * 32, 3))
    teacher = loaded(linear_onnx(tmp_path / "model.onnx", (15, 32), weight))
    assert "layout NHW" in teacher.describe()  # type: ignore[attr-defined]
    assert "log-mel pictures" in teacher.describe()  # type: ignore[attr-defined]


@pytest.mark.parametrize("shape", [(3000,), (13, 49), (2, 2048)])
def test_a_model_of_something_else_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = linear_onnx(tmp_path / "model.onnx", shape, np.zeros((int(np.prod(shape)), 3)))
    with pytest.raises(InputError, match=r"takes their samples, or log-mel pictures of them: received input=float32 \[any, "):
        loaded(path)


@pytest.mark.parametrize("format_name", ["onnx", "litert"])
def test_a_bundles_own_file_is_a_teacher_of_16_bit_samples(format_name: str, tmp_path: Path) -> None:
    program = sound_program()
    log_mel = program.source.log_mel  # type: ignore[union-attr]
    rng = np.random.default_rng(0)
    sounds = rng.integers(-9999, 9999, (64, log_mel.samples)).astype(np.int16)
    names = tuple(f"class {i}" for i in range(program.classes))
    for name, content in exporter(format_name).export(program, name="m", labels=names).items():
        (tmp_path / name).write_bytes(content)
    expected = run(program, sounds)
    teacher = load_sound_teacher(
        tmp_path / exporter(format_name).filename,
        class_names=names,
        sounds=sounds,
        labels=expected.logits.argmax(axis=1),
        log_mel=log_mel,
        training_sounds=lambda: sounds,
    )
    assert "as 16-bit numbers" in teacher.describe()
    np.testing.assert_allclose(np.exp(teacher.logits(sounds)), expected.probabilities, atol=1e-5)


def test_saved_logits_belong_to_the_recordings() -> None:
    expected = by_crossings(SOUNDS).astype(np.float32)
    teacher = loaded(expected)
    np.testing.assert_array_equal(teacher.logits(SOUNDS[7:9]), expected[7:9])  # type: ignore[attr-defined]
    assert not teacher.covers(SOUNDS[:3] + 1).any()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda _: 1 / 0, r"received teacher='.*', whose code raised ZeroDivisionError"),
        (lambda values: np.zeros((len(values), 7)), r"one column of logits for each class of the data: received columns=7"),
        (lambda values: np.full((len(values), 3), np.nan), r"a teacher's logits are finite numbers"),
    ],
)
def test_code_that_does_not_answer_is_named(function: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        loaded(function)

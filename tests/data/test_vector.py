"""NPZ files of vectors and windows: what is read, how it is split and standardized, and what is refused in one line."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_wine

from understudy.data.dataset import load_dataset
from understudy.data.image import ImageDataset
from understudy.data.vector import VectorDataset, load_vector_dataset, standardization
from understudy.data.vector_arrays import read_numbers
from understudy.errors import InputError
from understudy.job import DataSettings, job_from_arguments

_WINE = load_wine()
_X, _Y = _WINE.data, _WINE.target


def saved(folder: Path, **arrays: object) -> Path:
    np.savez(folder / "some.npz", **arrays)  # type: ignore[arg-type]
    return folder / "some.npz"


def loaded(path: Path, **settings: object) -> object:
    return load_dataset(job_from_arguments(path, budgets=("4KB",), **settings))


def test_vectors_are_split_by_class_and_keep_their_numbers(tmp_path: Path) -> None:
    data = load_vector_dataset(DataSettings(train=saved(tmp_path, x=_X, y=_WINE.target_names[_Y])), seed=1)
    assert data.class_names == ("class_0", "class_1", "class_2")
    assert data.shape == (13,)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [142, 18, 18]
    for part in (data.train, data.validation, data.test):
        for values, label in zip(part.content, part.labels, strict=True):
            [row] = np.flatnonzero((_X.astype(np.float32) == values).all(axis=1))
            assert _Y[row] == label
    assert len(data.labelled) == 160
    assert data.statistics.warnings == {}


def test_a_validation_part_is_kept_whole_and_unused_arrays_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path, x=_X, y=_Y, x_val=_X[::4], y_val=_Y[::4], scale=np.ones(13))
    data = loaded(path)
    np.testing.assert_array_equal(data.validation.content, _X[::4].astype(np.float32))
    assert len(data.train) + len(data.test) == len(_X)
    assert "arrays that are not used: scale" in data.statistics.lines()


def test_features_that_never_change_count_for_nothing(tmp_path: Path) -> None:
    values = np.concatenate([_X, np.full((len(_X), 1), 0.1), np.full((len(_X), 1), 1e7)], axis=1)
    values[::2, 14] += 1e-3
    data = load_vector_dataset(DataSettings(train=saved(tmp_path, x=values, y=_Y)), seed=1)
    assert data.multiplier[13:].tolist() == [0, 0]
    assert (data.multiplier[:13] > 0).all()
    assert data.statistics.warnings == {"constant_feature": 2}


def test_features_that_huge_values_drown_are_counted(tmp_path: Path) -> None:
    values = _X.copy()
    values[::50, 3] = 1e30  # some of them are in train
    rare = np.zeros((len(_X), 1))
    rare[::20] = 1e6  # not drowned: it differs where it is not zero
    data = load_vector_dataset(DataSettings(train=saved(tmp_path, x=np.concatenate([values, rare], axis=1), y=_Y)), seed=1)
    assert data.statistics.warnings == {"drowned_feature": 1}
    assert any(line.startswith("warning: features or channels with a few values so far") for line in data.statistics.lines())


def test_channels_that_one_huge_value_drowns_are_counted(tmp_path: Path) -> None:
    windows = np.random.default_rng(0).normal(size=(40, 12, 3))
    windows[:, :, 0] = np.exp(2 * windows[:, :, 0])  # a long tail is no mistake
    windows[5, 4, 1] = -1e9
    data = load_vector_dataset(DataSettings(train=saved(tmp_path, x=windows, y=np.arange(40) % 2)), seed=1)
    assert data.statistics.warnings == {"drowned_feature": 1}


def test_means_far_from_zero_and_large_numbers_are_standardized() -> None:
    rng = np.random.default_rng(0)
    values = (rng.normal(0, 1, (500, 9, 3)) * (1e-6, 1, 1e9) + (0, 1e4, 1e12)).astype(np.float32)
    offset, multiplier = standardization(values)
    assert offset.dtype == multiplier.dtype == np.float32
    found = ((values - offset) * multiplier).reshape(-1, 3)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-2)
    np.testing.assert_allclose(found.std(axis=0), 1, atol=1e-2)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64, np.float16, np.float64, np.bool_])
def test_all_types_of_numbers_are_read(dtype: type, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2, (30, 5)).astype(dtype)
    data = load_vector_dataset(DataSettings(train=saved(tmp_path, x=values, y=np.arange(30) % 2)), seed=1)
    assert data.train.content.dtype == np.float32


def test_one_example_and_several_are_told_apart_by_their_axes(tmp_path: Path) -> None:
    values = np.arange(24.0).reshape(2, 4, 3)
    values[0, 0, 0] = np.nan
    np.save(tmp_path / "two.npy", values)
    np.save(tmp_path / "one.npy", values[0])
    two, one = read_numbers(tmp_path / "two.npy", (4, 3)), read_numbers(tmp_path / "one.npy", (4, 3))
    assert two.shape == (2, 4, 3)
    np.testing.assert_array_equal(one, two[:1])
    assert np.isnan(one[0, 0, 0])
    with pytest.raises(InputError, match="this model reads 4 x 2 numbers: received shape="):
        read_numbers(tmp_path / "one.npy", (4, 2))
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match=r"received file=.*picture.png' \(no plain array\); write it with numpy.save"):
        read_numbers(tmp_path / "picture.png", (4, 3))


def test_arrays_with_a_damaged_header_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.zeros((4, 3)))
    damaged = (tmp_path / "one.npy").read_bytes().replace(b"(4, 3)", b"(4, 3,")
    (tmp_path / "one.npy").write_bytes(damaged)
    with pytest.raises(InputError, match=r"arrays come as .npy or .npz: received file=.*one.npy' \("):
        read_numbers(tmp_path / "one.npy", (4, 3))
    with zipfile.ZipFile(tmp_path / "some.npz", "w") as archive:
        archive.writestr("x.npy", damaged)
    with pytest.raises(InputError, match=r"an .npz is a whole archive of plain arrays: received file=.*some.npz' \("):
        read_numbers(tmp_path / "some.npz", (4, 3))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.where(_X[3, 2] == _X, np.nan, _X), "y": _Y}, "numbers to learn from are finite: received NaN or infinity in"),
        ({"x": np.where(_X[3, 2] == _X, np.inf, _X), "y": _Y}, "numbers to learn from are finite: received NaN or infinity in"),
        ({"x": _X * 1e300, "y": _Y}, "numbers are at most 1e+30: received max="),
        ({"x": _X, "y": _Y * 0}, "a classifier needs at least two classes: received label='0' in all examples=178"),
        ({"x": _X.astype(object), "y": _Y}, "an .npz is a whole archive of plain arrays"),
        ({"x": _X.astype(str), "y": _Y}, "vectors hold numbers: received dtype="),
        ({"x": _X.astype(complex), "y": _Y}, "vectors hold numbers: received dtype=complex128"),
        ({"x": _X[:, :0], "y": _Y}, "received shape=(178, 0) as x"),
        ({"x": _X, "y": _Y[1:]}, "each example has one label: received shape=(177,) for examples=178"),
        ({"x": _X, "y": _Y + 0.5}, "labels are names or whole numbers"),
        ({"x": _X}, "without labels for train; add y to x"),
        (
            {"x": _X, "y": _Y, "x_test": _X[:, :5], "y_test": _Y},
            "received test (5,) and train (13,); make them equal",
        ),
        ({"x": _X, "y": _Y, "x_test": _X, "y_test": _Y + 7}, "test has labels of train: received known_labels=0"),
        ({"x": np.zeros((30, 70000), np.float32), "y": np.arange(30) % 2}, "at most 65534 numbers: received shape=(30, 70000)"),
        ({"x": _X[:, 0], "y": _Y}, "received shape=(178,) as x"),
    ],
)
def test_arrays_that_cannot_be_used_are_named_in_one_line(arrays: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    path = saved(tmp_path, **arrays)
    with pytest.raises(InputError) as caught:
        loaded(path, kind="vector")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "dtype", "kind"),
    [
        ((6,), np.uint8, VectorDataset),
        ((6,), np.float64, VectorDataset),
        ((12, 10), np.int8, VectorDataset),
        ((12, 8), np.float32, VectorDataset),
        ((12, 8), np.bool_, VectorDataset),
        ((8, 8), np.bool_, ImageDataset),
        ((8, 8, 3), np.bool_, ImageDataset),
        ((8, 8), np.float32, ImageDataset),
        ((12, 8), np.int64, ImageDataset),
        ((8, 8), np.uint8, ImageDataset),
        ((8, 8, 3), np.uint8, ImageDataset),
        ((8, 8, 3), np.float32, ImageDataset),
    ],
)
def test_an_archive_tells_its_kind_by_type_and_axes(shape: tuple[int, ...], dtype: type, kind: type, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 100, (40, *shape)).astype(dtype)
    values.flat[0] = 0  # truth values of both kinds
    data = loaded(saved(tmp_path, x=values, y=np.arange(40) % 2))
    assert isinstance(data, kind)


@pytest.mark.parametrize(("low", "high", "kind"), [(0, 1, ImageDataset), (0, 200.5, VectorDataset), (-1, 1, VectorDataset)])
def test_square_arrays_of_floats_are_images_where_they_hold_pixels(low: float, high: float, kind: type, tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(low, high, (40, 8, 8))
    assert isinstance(loaded(saved(tmp_path, x=values, y=np.arange(40) % 2)), kind)


def test_the_kind_may_be_said(tmp_path: Path) -> None:
    path = saved(tmp_path, x=np.random.default_rng(0).uniform(0, 1, (40, 12, 8)), y=np.arange(40) % 2)
    assert isinstance(loaded(path), VectorDataset)
    assert isinstance(loaded(path, kind="image"), ImageDataset)
    with pytest.raises(InputError, match=r"tables are texts or vectors, .*: received data\.kind='text' with file="):
        loaded(path, kind="text")
    table = tmp_path / "some.csv"
    table.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"received data\.kind='image' with file="):
        loaded(table, kind="image")


def test_a_validation_file_never_gives_its_test_examples(tmp_path: Path) -> None:
    parts = {"x_val": _X[:20], "y_val": _Y[:20], "x_test": _X[20:50], "y_test": _Y[20:50]}
    path = saved(tmp_path, x_train=_X[50:], y_train=_Y[50:], **parts)
    data = load_vector_dataset(DataSettings(train=path, validation=path), seed=1)
    np.testing.assert_array_equal(data.validation.content, _X[:20].astype(np.float32))


def test_a_damaged_archive_under_the_name_of_an_array(tmp_path: Path) -> None:
    content = saved(tmp_path, x=_X).read_bytes()
    for name, received in ((content, "an archive of several arrays"), (content[: len(content) // 2], "")):
        (tmp_path / "x.npy").write_bytes(name)
        with pytest.raises(InputError, match=rf"arrays come as .npy or .npz: received file=.*\({received}"):
            read_numbers(tmp_path / "x.npy", (13,))

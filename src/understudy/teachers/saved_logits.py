"""Teachers that are a table of logits saved beforehand: an NPZ, Parquet or torch file."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from understudy.errors import InputError, missing_extra
from understudy.teachers.model_file import are_probabilities, log_probabilities, read_file, unreadable
from understudy.teachers.protocol import BoolArray, Float32Array, as_array
from understudy.units import format_bytes, format_count

_TEXT_NAMES = ("texts", "text")
_CLASS_NAMES = ("class_names", "labels")
"""``labels`` may also be one label for each row, which says nothing about columns."""


@dataclass(frozen=True)
class SavedLogits:
    """Logits by text. Texts without a row are not covered, and asking for them is an error.

    Attributes:
        values: float32 ``[distinct texts, classes]``.
        row: text to its row in ``values``.
        summary: the file, how rows were matched to texts, and what was averaged.
    """

    values: Float32Array = field(repr=False)
    row: Mapping[str, int] = field(repr=False)
    name: str
    digest: str
    class_names: tuple[str, ...] | None
    summary: str

    def describe(self) -> str:
        """Return one line about the file."""
        return self.summary

    def covers(self, texts: Sequence[str]) -> BoolArray:
        """Return for each text whether the file has a row for it."""
        return np.array([_key(text) in self.row for text in texts], np.bool_)

    def logits(self, texts: Sequence[str]) -> Float32Array:
        """Return the saved rows of ``texts``.

        Raises:
            InputError: a text without a row.
        """
        covered = self.covers(texts)
        if not covered.all():
            raise InputError(
                f"saved logits answer only the examples that they were saved for: received examples={len(texts)}, of which "
                f"{int((~covered).sum())} are not in teacher={self.name!r} (the first is number {int(covered.argmin())}); "
                "train without views of them, or save logits for these too"
            )
        return self.values[[self.row[_key(text)] for text in texts]]


def npz_teacher(path: Path, *, training_texts: Sequence[str] | None) -> SavedLogits:
    """Return the teacher in an NPZ file: ``logits`` ``[rows, classes]``, and if present ``texts`` and ``class_names``.

    Args:
        path: the file; nothing in it is unpickled.
        training_texts: texts of the training file in its order, to which rows belong where the file has no ``texts``.

    Raises:
        InputError: unreadable, arrays of objects, no ``logits``, or rows that match no texts.
    """
    content = read_file(path)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # noqa: BLE001 - of what a damaged file holds, readers raise anything
        raise _object_free(path, error) from None
    return from_columns(path, content, arrays, training_texts=training_texts, format_name="NPZ")


def _object_free(path: Path, error: Exception) -> InputError:
    if "pickle" not in str(error):
        return unreadable(path, format_name="NPZ", reason=error)
    return InputError(
        f"saved logits hold plain arrays, because loading objects runs code from the file: received teacher={str(path)!r} "
        "with pickled objects; save texts and class_names as np.array(values, dtype=str)"
    )


def parquet_teacher(path: Path, *, class_names: Sequence[str], training_texts: Sequence[str] | None) -> SavedLogits:
    """Return the teacher in a Parquet file: a list column ``logits``, or one number column for each class.

    A column ``text`` or ``texts`` says which text a row belongs to; without it rows follow the training file. The order
    of a list column may stand in the file's schema metadata as ``class_names``, a JSON list.

    Raises:
        InputError: unreadable, neither form of logits, nulls, or rows that match no texts.
        SetupError: the packages of the ``parquet`` extra are not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise missing_extra(purpose="reading saved logits from Parquet", extra="parquet") from None
    content = read_file(path)
    try:
        # no threads: one that begins when an error ends the process aborts it, with an exit code that says nothing
        table = parquet.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
        metadata = table.schema.metadata or {}
        columns: dict[str, Any] = {name: table[name].to_pylist() for name in _TEXT_NAMES if name in table.column_names}
        if "logits" in table.column_names:
            columns["logits"] = table["logits"].to_pylist()
            if b"class_names" in metadata:
                columns["class_names"] = json.loads(metadata[b"class_names"])
        elif class_names and set(class_names) <= set(table.column_names):
            columns = {name: values for name, values in columns.items() if name not in class_names}
            columns["logits"] = np.array([table[name].to_numpy() for name in class_names]).T
            columns["class_names"] = list(class_names)
        else:
            columns["missing"] = next((name for name in class_names if name not in table.column_names), "logits")
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise unreadable(path, format_name="Parquet", reason=error) from None
    return from_columns(path, content, columns, training_texts=training_texts, format_name="Parquet")


def from_columns(
    path: Path, content: bytes, columns: Mapping[str, Any], *, training_texts: Sequence[str] | None, format_name: str
) -> SavedLogits:
    """Return the teacher in the named ``columns`` of ``path``, which holds ``content``.

    Raises:
        InputError: no ``logits``, ``texts`` or ``class_names`` that are no lists of strings, or rows that match no texts.
    """
    if "logits" not in columns:
        found = f"no column {columns['missing']!r}" if "missing" in columns else f"arrays={sorted(columns)}"
        raise InputError(
            f"saved logits are named logits [rows, classes], in Parquet also one column for each class: received {found} in "
            f"teacher={str(path)!r}; save them under that name"
        )
    digest = hashlib.sha256(content).hexdigest()
    rows = as_array(columns["logits"], name=path.name)
    lists = {key: _strings(columns[key], key, path) for key in (*_TEXT_NAMES, *_CLASS_NAMES) if key in columns}
    if "labels" in lists and (len(lists["labels"]),) != rows.shape[1:]:
        del lists["labels"]
    names = next((tuple(lists[key]) for key in _CLASS_NAMES if key in lists), None)
    texts = next((lists[key] for key in _TEXT_NAMES if key in lists), None)
    matched = "rows matched by text" if texts is not None else "rows in the order of the training file"
    summary = f"saved logits {path.name} ({format_name}, {format_bytes(len(content))}, sha256 {digest[:12]}), {matched}"
    if texts is None and training_texts is None:
        raise InputError(
            f"saved logits without texts belong to the rows of the training file: received teacher={str(path)!r} without "
            "texts and no training file; save the texts beside the logits"
        )
    return saved_logits(
        rows,
        texts=list(training_texts or ()) if texts is None else texts,
        name=path.name,
        digest=digest,
        class_names=names,
        summary=summary,
    )


def saved_logits(
    rows: Any, *, texts: Sequence[str], name: str, digest: str, class_names: tuple[str, ...] | None, summary: str
) -> SavedLogits:
    """Return the teacher that answers ``texts[i]`` with ``rows[i]``, of probabilities their logarithm.

    A text with several rows is given their mean.

    Raises:
        InputError: ``rows`` is no matrix, has another number of rows than there are texts, or values that are not finite.
    """
    values = as_array(rows, name=name)
    if values.ndim != 2 or len(values) != len(texts) or not len(values):
        raise InputError(
            f"saved logits have one row for each example: received shape={values.shape} for examples={len(texts)} in "
            f"teacher={name!r}; save one row for each row of the training file, or the texts beside the logits"
        )
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        row = int(finite.argmin())
        raise InputError(
            f"a teacher's logits are finite numbers: received logits[{row}]={values[row].tolist()[:8]} "
            f"(and {int((~finite).sum()) - 1} more rows) in teacher={name!r}; repair these rows"
        )
    if values.shape[1] > 1 and are_probabilities(values):
        values, summary = log_probabilities(values), f"{summary}, probabilities, used as logarithms"
    index: dict[str, int] = {}
    owner = np.array([index.setdefault(_key(text), len(index)) for text in texts])
    if len(index) == len(texts):
        return SavedLogits(values, index, name, digest, class_names, summary)
    sums = np.zeros((len(index), values.shape[1]))
    np.add.at(sums, owner, values)
    means = (sums / np.bincount(owner)[:, None]).astype(np.float32)
    differing = len(set(owner[(abs(values - means[owner]) > 1e-4).any(axis=1)].tolist()))
    note = f", several different rows, whose mean is used, for {format_count(differing, 'texts')}" if differing else ""
    return SavedLogits(means, index, name, digest, class_names, summary + note)


def _key(text: str) -> str:
    """Return ``text`` without NULs at its end, which NumPy's strings cannot hold."""
    return text.rstrip("\0")


def _strings(values: Any, name: str, path: Path) -> list[str]:
    """Return the list ``name`` of the file ``path``, whose numbers become strings."""
    found = values.tolist() if hasattr(values, "tolist") else values
    bad = (
        [each for each in found if not isinstance(each, str | bytes | int | float)]
        if isinstance(found, list | tuple)
        else [found]
    )
    if bad:
        raise InputError(
            f"texts and class_names beside saved logits are lists of strings: received {name}={bad[0]!r:.80} in "
            f"teacher={str(path)!r}; save one string for each row or class"
        )
    return [each.decode("utf-8", "surrogateescape") if isinstance(each, bytes) else str(each) for each in found]

"""The commented job file that ``understudy init data.csv`` writes: every setting, with what the data suggests."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from understudy.data.image import load_image_dataset
from understudy.data.kind import kind_of
from understudy.data.read import read_table
from understudy.data.table import find_label_column, find_text_and_label, is_unicode
from understudy.data.text import load_text_dataset
from understudy.data.vector import load_vector_dataset
from understudy.errors import InputError
from understudy.files import write_text
from understudy.job import DataSettings, Job, name_from
from understudy.job_errors import tables

_COMMENT_WIDTH = 100
_BUDGETS_KB = (8, 16, 32, 64, 128, 256, 512)
_TEXT_KB, _GREY_KB, _COLOUR_KB, _VECTOR_KB, _SOUND_KB = 8, 4, 24, 4, 8
"""What everything before the last layer takes, file format included: a projection and first layers, or convolutions."""


def write_job_template(
    data_path: str | os.PathLike[str],
    out_path: str | os.PathLike[str],
    *,
    text: str | None = None,
    label: str | None = None,
    columns: tuple[str, ...] | None = None,
    skip_bad: bool = False,
) -> Path:
    """Write a job file for ``data_path`` to ``out_path`` and return its path; an existing file is never overwritten.

    Raises:
        InputError: ``out_path`` exists, or the data cannot be used; see ``load_text_dataset``.
        SetupError: the folder cannot be written.
    """
    out_path = Path(out_path)
    if out_path.exists():
        raise InputError(
            f"a job file is never overwritten: received out={str(out_path)!r}, which exists; choose another name or remove it"
        )
    content = render_job_template(data_path, folder=out_path.parent, text=text, label=label, columns=columns, skip_bad=skip_bad)
    if not is_unicode(content):
        raise InputError(
            f"a job file is UTF-8: received file={str(data_path)!r} or a column of it with a name that is not; rename it"
        )
    write_text(out_path, content)
    return out_path


def render_job_template(
    data_path: str | os.PathLike[str],
    *,
    folder: Path,
    text: str | None = None,
    label: str | None = None,
    columns: tuple[str, ...] | None = None,
    skip_bad: bool = False,
) -> str:
    """Return a job file in ``folder`` for ``data_path`` as TOML; loading it gives a valid job.

    Args:
        data_path: labelled examples.
        folder: where the job file will stand; data below it is named relative to it.
        text: column with the texts, guessed when None.
        label: column with the labels, guessed when None.
        columns: columns of numbers; None takes all but the label of a table without texts.
        skip_bad: leave out pictures or recordings that cannot be used, here and in the job.

    Raises:
        InputError: the data cannot be used; see ``load_text_dataset``, ``load_image_dataset`` and
            ``load_vector_dataset``.
    """
    values: dict[str, object] = {"name": name_from(data_path), "data.train": _relative(Path(data_path), folder)}
    settings = DataSettings(train=Path(data_path), text=text, label=label, columns=columns, skip_bad=skip_bad)
    values["data.skip_bad"] = skip_bad
    kind = kind_of(settings)
    if kind == "image":
        found = _look_at_images(settings, values)
    elif kind == "vector":
        found = _look_at_vectors(settings, values)
    else:
        found = _look_at_texts(data_path, values, text=text, label=label)
    lines = [
        f"# A job for understudy, written from {Path(data_path).name!r}.",
        "# Run it with: understudy compress <this file> --out <folder>",
        "# A line that begins with '# name =' is a setting that is not used; remove the '#' to use it.",
        "#",
        *(line for sentence in found for line in _comment(sentence)),
    ]
    for name, model in tables(Job).items():
        lines += ["", *([f"[{name}]"] if name else []), *_settings(name, model, values)]
    return "\n".join(lines) + "\n"


def _look_at_texts(
    data_path: str | os.PathLike[str], values: dict[str, object], *, text: str | None, label: str | None
) -> list[str]:
    """Put what the texts suggest into ``values`` and return what was found."""
    table = read_table(data_path)
    text, label = find_text_and_label(table, text, label, in_job=True)
    settings = DataSettings(train=Path(data_path), text=text, label=label)
    statistics = load_text_dataset(settings, seed=1).statistics
    values.update(
        {
            "budgets": suggest_budgets(len(statistics.class_names)),
            "max_bytes": statistics.max_bytes,
            "max_words": statistics.max_words,
            "data.text": settings.text,
            "data.label": settings.label,
        }
    )
    return [f"columns found: {', '.join(repr(column) for column in table.columns)}", *statistics.lines()]


def _look_at_images(settings: DataSettings, values: dict[str, object]) -> list[str]:
    """Put what the images or sounds suggest into ``values`` and return what was found."""
    dataset = load_image_dataset(settings, seed=1)
    room_kb = _SOUND_KB if dataset.log_mel else _GREY_KB if dataset.shape[2] == 1 else _COLOUR_KB
    values["budgets"] = suggest_budgets(len(dataset.class_names), room_kb=room_kb)
    return dataset.statistics.lines()


def _look_at_vectors(settings: DataSettings, values: dict[str, object]) -> list[str]:
    """Put what the vectors or windows suggest into ``values`` and return what was found."""
    dataset = load_vector_dataset(settings, seed=1)
    values["budgets"] = suggest_budgets(len(dataset.class_names), room_kb=_VECTOR_KB)
    if dataset.columns is not None:
        label = find_label_column(read_table(settings.train), settings.label)
        values.update({"data.kind": "vector", "data.label": label, "data.columns": dataset.columns})
    return dataset.statistics.lines()


def suggest_budgets(class_count: int, *, room_kb: int = _TEXT_KB) -> tuple[str, ...]:
    """Return three budgets, b, 2b and 8b, for ``class_count`` classes; b is the smallest where the last layer leaves room.

    ``room_kb`` is what everything else takes.
    """
    # 48 bytes of last layer a class
    needed_kb = room_kb + 48 * class_count / 1024
    smallest = next((size for size in _BUDGETS_KB if size >= needed_kb), _BUDGETS_KB[-1])
    return tuple(f"{smallest * factor}KB" for factor in (1, 2, 8))


def _settings(table: str, model: type[BaseModel], values: Mapping[str, object]) -> list[str]:
    """Return the settings of one table with their descriptions; tables inside it have their own place."""
    lines: list[str] = []
    known = tables(Job)
    for name, field in model.model_fields.items():
        key = f"{table}.{name}".lstrip(".")
        if key in known:
            continue
        value = values.get(key, field.get_default(call_default_factory=True))
        lines += _comment(field.description or "")
        if value is None:
            lines.append(f"# {name} = {_toml((field.examples or [None])[0])}")
        else:
            lines.append(f"{name} = {_toml(value)}")
    return lines


def _comment(sentence: str) -> list[str]:
    printable = "".join(character if character.isprintable() else "?" for character in sentence)
    return textwrap.wrap(printable, _COMMENT_WIDTH, initial_indent="# ", subsequent_indent="#   ", break_long_words=False)


def _toml(value: object) -> str:
    """Return a string, number or sequence of strings as TOML, which is JSON but for DEL in strings."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _relative(path: Path, folder: Path) -> str:
    absolute, start = path.resolve(), folder.resolve()
    return absolute.relative_to(start).as_posix() if absolute.is_relative_to(start) else str(absolute)

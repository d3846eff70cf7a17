"""``understudy predict``: texts, images, vectors or sounds in, labels out, from an exported file in its own runtime."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from understudy.cli.content import refuse_text_column
from understudy.cli.opening import KeyOption, TrustOption
from understudy.cli.output import JsonFlag, on_one_line, print_json
from understudy.errors import InputError

if TYPE_CHECKING:
    from understudy.bundle.content import Content
    from understudy.data.image import UInt8Array
    from understudy.data.vector import Float32Array
    from understudy.data.wave_file import Int16Array
    from understudy.projections.log_mel import LogMel

NONE_OF_THESE = "none of these"


def predict(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle folder, such as runs/intents/32KB.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="Texts; or pictures, NPZ, NPY, IDX or WAV files, tables of numbers; without any, texts from standard input.",
        ),
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="A file of texts, one a line, also .gz, or a CSV, TSV, JSONL or Parquet table; or of arrays.",
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The text column of a table given by --input.")] = None,
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="NAME", help="Which file to run, as litert, onnx or c; by default the first that runs here."
        ),
    ] = None,
    trust: TrustOption = None,
    key: KeyOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Label texts, images, vectors or sounds with an exported file, in its own runtime.

    Prints one line for each of them: label, tab, score.
    The label is "none of these" when the best score is below the bundle's threshold.
    """
    from understudy.bundle import Bundle
    from understudy.cli.progress import open_patient_progress

    opened = Bundle.open(bundle, trusted=trust, key=key)
    model = opened.load(format_name)
    manifest = opened.manifest
    refuse_text_column(manifest, text, path=input_file, option="--input")
    content: Content
    if manifest.image_shape is not None:
        content = _images(texts or [], input_file, manifest.image_shape)
    elif manifest.input_shape is not None:
        content = _numbers(texts or [], input_file, manifest.input_shape, manifest.columns)
    elif manifest.sound is not None:
        content = _sounds(texts or [], input_file, manifest.sound.log_mel)
    else:
        content = _texts(texts or [], input_file, text)
    with open_patient_progress(sys.stderr, silent=as_json) as progress:
        progress.stage("predicting", total=len(content))
        predictions = model.predict(content, progress=progress)
    if as_json:
        print_json(
            {
                "bundle": str(bundle),
                "format": model.format,
                "runtime": model.session.runtime,
                "threshold": opened.manifest.threshold,
                "predictions": [
                    {"label": p.label, "score": p.score, "scores": dict(zip(opened.labels, p.scores, strict=True))}
                    for p in predictions
                ],
            }
        )
        return
    typer.echo(f"{model.format} file in {model.session.runtime}", err=True)
    for prediction in predictions:
        label = NONE_OF_THESE if prediction.label is None else on_one_line(prediction.label)
        typer.echo(f"{label}\t{prediction.score:.4f}")


def _texts(given: list[str], input_file: Path | None, column: str | None) -> list[str]:
    """Return the texts from exactly one place."""
    from understudy.data.lines import lines_of, read_lines
    from understudy.data.read import is_table

    if given and input_file is not None:
        raise InputError(
            f"texts come from one place: received texts={len(given)} and --input={str(input_file)!r}; leave one of them out"
        )
    if given:
        _refuse_files(given)
        return given
    if input_file is None:
        if sys.stdin is None or sys.stdin.isatty():  # None: it was closed
            raise InputError("predict needs texts: received texts=0; add them to the command, or use --input FILE or a pipe")
        return list(lines_of(sys.stdin.buffer.read(), source="standard input"))
    return _column(input_file, column) if is_table(input_file) else list(read_lines(input_file))


def _refuse_files(texts: list[str]) -> None:
    """Raise ``InputError`` where a text is the name of a file of texts: its name is hardly what is to be labelled."""
    from understudy.data.lines import are_lines
    from understudy.data.read import is_table

    for text in texts:
        try:
            found = (is_table(text) or are_lines(Path(text))) and Path(text).is_file()
        except (OSError, ValueError):  # longer than a path may be, or with a NUL
            continue
        if found:
            raise InputError(
                f"files of texts are given by --input: received text={text!r}, which is a file; write --input {text}"
            )


def _files(given: list[str], input_file: Path | None, *, kind: str, such_as: str) -> list[Path]:
    """Return the files to label, at least one; a folder is none, because nobody could tell which line is of which file."""
    paths = [*map(Path, given), *([] if input_file is None else [input_file])]
    if not paths:
        raise InputError(f"predict needs {kind}: received files=0; add {such_as} to the command")
    for path in paths:
        if path.is_dir():
            raise InputError(
                f"predict takes files, and answers in their order: received folder={str(path)!r}; name the files in it, "
                f"as {path}/*, or measure a folder of class folders with understudy evaluate"
            )
    return paths


def _images(given: list[str], input_file: Path | None, shape: tuple[int, int, int]) -> UInt8Array:
    """Return the images of all files, uint8 ``[images, H, W, C]``."""
    import numpy as np

    from understudy.data.idx import is_idx
    from understudy.data.image import read_images
    from understudy.data.image_arrays import as_pixels
    from understudy.data.npz import read_npy
    from understudy.data.picture import read_picture

    paths = _files(given, input_file, kind="images", such_as="pictures, NPZ, NPY or IDX files")
    parts = []
    for path in paths:
        if path.suffix.lower() not in (".npz", ".npy") and not is_idx(path):
            parts.append(read_picture(path, shape=shape)[None])
            continue
        if path.suffix.lower() == ".npy":
            array = read_npy(path)
            one = array.shape in (shape, shape[:2])
            pixels = as_pixels(array[None] if one else array, f"file={str(path)!r}")
        else:
            pixels = read_images(path, part="test").pixels
        if pixels.shape[1:] != shape:
            wanted = " x ".join(map(str, shape))
            raise InputError(
                f"this model reads images of {wanted} (height, width, channels): received {pixels.shape[1:]} in "
                f"file={str(path)!r}; bring it to that shape"
            )
        parts.append(pixels)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)  # one may be larger than memory


def _sounds(given: list[str], input_file: Path | None, log_mel: LogMel) -> Int16Array:
    """Return the sounds of all files, int16 ``[sounds, samples]``."""
    import numpy as np

    from understudy.data.wave_file import read_sound

    paths = _files(given, input_file, kind="sounds", such_as="WAV files")
    return np.stack([read_sound(path, log_mel) for path in paths])


def _numbers(
    given: list[str], input_file: Path | None, shape: tuple[int, ...], columns: tuple[str, ...] | None
) -> Float32Array:
    """Return the examples of all files, float32 ``[examples, *shape]``."""
    import numpy as np

    from understudy.data.number_table import read_examples

    paths = _files(given, input_file, kind="numbers", such_as="NPY or NPZ files" + (", or tables," if columns else ""))
    return np.concatenate([read_examples(path, shape, columns) for path in paths])


def _column(path: Path, column: str | None) -> list[str]:
    from understudy.data.read import read_table
    from understudy.data.table import find_text_column, take_rows

    table = read_table(path)
    return list(take_rows(table, text=find_text_column(table, column), label=None).texts)

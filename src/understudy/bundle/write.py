"""Writes a bundle whole or not at all; ``spec/bundle.md`` section 5."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from understudy.bundle.manifest import CARD, MANIFEST, Manifest, ManifestFile, escape_label
from understudy.bundle.vectors import make_vectors, pack_vectors
from understudy.errors import InputError, SetupError
from understudy.export.registry import exporter
from understudy.files import write_bytes
from understudy.program import archive
from understudy.program.islands import islands_of
from understudy.program.ops import Image, Program, Sound, Standardize
from understudy.protection.keys import signing_key
from understudy.version import installed_version

LABELS = "labels.txt"
VECTORS = "vectors.npz"
PROGRAM = "program.npz"

Exports = Mapping[str, Mapping[str, bytes]]
"""Format to what its exporter returned: file name to content."""


def write_bundle(
    folder: Path,
    *,
    program: Program,
    exports: Exports,
    name: str,
    labels: Sequence[str],
    threshold: float | None,
    recipe: Mapping[str, Any],
    data_digest: str,
    columns: tuple[str, ...] | None = None,
) -> Manifest:
    """Write the bundle of ``program`` to ``folder`` and return its manifest.

    The files are written beside ``folder`` and moved in one step; an older bundle is replaced, another folder is not.

    Args:
        folder: where the bundle goes; its parent exists.
        program: the integer program that was exported; it gives the vectors and the sizes.
        exports: format to file name to content, as ``exporter(format).export(program, name=name, labels=labels)`` returns
            them.
        name: the name in the C functions.
        labels: class names in the order of the scores.
        threshold: the best score below which the answer is "none of these", or None.
        recipe: how the student was made; JSON values.
        data_digest: digest of the training and validation texts.
        columns: names of a vector's numbers, where they came from a table.

    Raises:
        InputError: a name or label that a manifest cannot hold.
        SetupError: the folder holds something else, or cannot be written, or there is no key to sign with.
    """
    contents = _contents(program, exports, labels)
    manifest = _manifest(
        files=_entries(program, exports, contents, name=name, labels=labels),
        name=name,
        labels=tuple(labels),
        **_reads(program),
        float_islands=islands_of(program) or None,
        threshold=threshold,
        recipe=dict(recipe),
        data_digest=data_digest,
        columns=columns,
    )
    write_folder(folder, {**contents, MANIFEST: manifest.to_json()})
    return manifest


def _reads(program: Program) -> dict[str, Any]:
    """Return the manifest's fields about the input."""
    source = program.source
    if isinstance(source, Image):
        return {"task": "image-classification", "image_shape": source.shape}
    if isinstance(source, Sound):
        return {"task": "sound-classification", "sound": asdict(source.log_mel)}
    if isinstance(source, Standardize):
        return {"task": "vector-classification", "input_shape": source.shape}
    return {"max_bytes": source.projection.max_bytes}


def extend_bundle(folder: Path, manifest: Manifest, *, program: Program, exports: Exports) -> Manifest:
    """Add the files of more formats to the bundle in ``folder`` and return its new manifest, signed anew and written last.

    A run that is killed leaves the bundle as it was, with files beside it that the same call writes again; one that fails
    leaves none.

    Raises:
        SetupError: another file is in the way, or the folder cannot be written.
    """
    contents = {file_name: content for exported in exports.values() for file_name, content in exported.items()}
    for file_name, content in contents.items():
        path = folder / file_name
        # a format may share a file, such as the C runtime
        known = manifest.files.get(file_name)
        other = known is not None and known.sha256 != hashlib.sha256(content).hexdigest()
        if other or (path.exists() and (not path.is_file() or path.read_bytes() != content)):
            raise SetupError(
                f"a format is added beside the files that are there: received {file_name!r} in bundle={str(folder)!r}, "
                "which holds something else under that name; move it away"
            )
    files = _entries(program, exports, contents, name=manifest.name, labels=manifest.labels)
    extended = manifest.model_copy(update={"files": dict(sorted({**manifest.files, **files}.items()))}).signed(signing_key())
    new = [folder / file_name for file_name in contents if not (folder / file_name).exists()]
    try:
        for file_name, content in contents.items():
            write_bytes(folder / file_name, content)
        write_bytes(folder / MANIFEST, extended.to_json())
    except SetupError:  # as a disk that is full
        for path in new:
            path.unlink(missing_ok=True)
        raise
    return extended


def _contents(program: Program, exports: Exports, labels: Sequence[str]) -> dict[str, bytes]:
    """Return file name to content of everything that digests cover."""
    if len(labels) != program.classes:
        raise ValueError(f"each score needs one label: received labels={len(labels)}, classes={program.classes}")
    contents: dict[str, bytes] = {}
    for exported in exports.values():
        for file_name, content in exported.items():
            if contents.setdefault(file_name, content) != content:
                raise ValueError(f"two formats write different contents of {file_name!r}")
    contents[LABELS] = "".join(escape_label(label) + "\n" for label in labels).encode("utf-8", "backslashreplace")
    contents[VECTORS] = pack_vectors(make_vectors(program))
    contents[PROGRAM] = archive.dumps(program)
    return contents


def _entries(
    program: Program, exports: Exports, contents: Mapping[str, bytes], *, name: str, labels: Sequence[str]
) -> dict[str, ManifestFile]:
    """Return the manifest's entry of each file."""
    format_of = {exporter(format_name).filename: format_name for format_name in exports}
    return {
        file_name: ManifestFile.model_validate(
            {
                "sha256": hashlib.sha256(content).hexdigest(),
                "size_bytes": len(content),
                "format": format_of.get(file_name),
                "budget_bytes": _budget_bytes(program, format_of[file_name], name=name, labels=labels)
                if file_name in format_of
                else None,
            }
        )
        for file_name, content in sorted(contents.items())
    }


def _budget_bytes(program: Program, format_name: str, *, name: str, labels: Sequence[str]) -> int:
    return sum(size_bytes for _, size_bytes in exporter(format_name).byte_table(program, name=name, labels=labels))


def _manifest(**fields: Any) -> Manifest:
    try:
        return Manifest(understudy=installed_version(), **fields).signed(signing_key())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"a bundle's {where} breaks a rule ({first['msg']}): received {where}={first['input']!r}; change it"
        ) from None


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write ``contents`` (file name to bytes) as ``folder``, whole or not at all.

    ``.NAME.partial`` and ``.NAME.previous`` beside the folder are scratch: a killed run leaves at most these,
    and the next removes them.

    Raises:
        SetupError: the folder holds something that is not a bundle, or cannot be written.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    previous = folder.with_name(f".{folder.name}.previous")
    try:
        if previous.exists() and not folder.exists():  # killed between the two renames below
            previous.rename(folder)
        if folder.exists() and not _is_replaceable(folder):
            raise SetupError(
                f"a bundle replaces only an older bundle or an empty folder: received folder={str(folder)!r} with other "
                "files; choose another --out or move them away"
            )
        for scratch in (partial, previous):
            if scratch.exists():
                shutil.rmtree(scratch)
        partial.mkdir()
        for file_name, content in contents.items():
            (partial / file_name).write_bytes(content)
        if folder.exists():
            folder.rename(previous)
        try:
            partial.rename(folder)
        except OSError:
            if previous.exists():
                previous.rename(folder)
            raise
        shutil.rmtree(previous, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise SetupError(
            f"a bundle needs a folder that can be written: received folder={str(folder)!r} ({error.strerror or error}); "
            "check its permissions and the free space"
        ) from None


def _is_replaceable(folder: Path) -> bool:
    """Return whether ``folder`` is an older bundle or empty."""
    if not folder.is_dir():
        return False
    names = {entry.name for entry in folder.iterdir()}
    return not names or (MANIFEST in names and (LABELS in names or CARD in names))

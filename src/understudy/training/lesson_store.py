"""The lesson on disk: written once by the job, read by every worker, keyed by content.

::

    lesson/
      texts.json          views (each a list of texts; those without labels stand first, those held out last) and the
                          validation texts; for images only how many are held out, and whether they may be mirrored
      examples.npy        images and sounds' pictures uint8 [images, H, W, C], vectors float32 [examples, ...], held out last
      validation-examples.npy  the same of the validation split
      standardization.npy vectors: float32 [2, channels], offsets and multipliers
      validation-samples.npy  int16 [sounds, samples] of the validation sounds
      labels.npy          int64 [texts], -1 for unlabelled
      validation.npy      int64 [validation texts]
      teacher.npy         float32 [views, texts, classes], only with a teacher
      complete            empty; there when all of the above is
      network.pt          the network to prune, only for the student 'pruned'; see ``network/steps.py``
      rows-<seed>-<n>.json the best rows of an image's projection among n; see training/mining.py
      corpus-<digest>/    features of one projection, made by the first training that needs them
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from understudy.errors import SetupError
from understudy.files import write_bytes, write_text, written
from understudy.network.steps import Network, dumps, loads
from understudy.program.interpreter import Inputs
from understudy.program.ops import Image, Program, ProjectText, Sound, Source, Standardize
from understudy.projections.text import TextProjection, encode
from understudy.settings import Variation
from understudy.training.corpus import Corpus, ImageCorpus, Seen, VectorCorpus, build_corpora
from understudy.training.loop import Lesson

Int64Array = npt.NDArray[np.int64]
UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]


class LessonStore:
    """A folder that holds one lesson.

    Args:
        folder: created when missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def complete(self) -> bool:
        """Whether ``write`` has finished."""
        return (self.folder / "complete").exists()

    def write(
        self,
        *,
        views: Sequence[Sequence[str]] | Sequence[UInt8Array | Float32Array],
        labels: Int64Array,
        validation: list[str] | UInt8Array | Float32Array,
        validation_labels: Int64Array,
        teacher_logits: Float32Array | None,
        held_out: int = 0,
        mirrored: bool = False,
        variations: Sequence[Variation] = (),
        validation_samples: npt.NDArray[np.int16] | None = None,
        standardization: tuple[Float32Array, Float32Array] | None = None,
    ) -> None:
        """Write the lesson; see ``training.loop.Lesson`` for the shapes. Arrays are one view: each batch varies them anew.

        Texts without labels stand first. The last ``held_out`` texts of each view are copies of validation texts, from which
        only a refit learns.
        Images may be ``mirrored`` and have ``variations``; vectors have a ``standardization``, offsets and multipliers;
        sounds have ``validation_samples``.
        """
        # json keeps lone surrogates, which stand for bytes that are not UTF-8
        raw: dict[str, Any] = {"views": views, "validation": validation, "held_out": held_out}
        if isinstance(validation, np.ndarray):
            [examples] = views
            _write_array(self.folder / "examples.npy", np.asarray(examples))
            _write_array(self.folder / "validation-examples.npy", validation)
            raw = {"held_out": held_out, "mirrored": mirrored, "variations": list(variations)}
        if validation_samples is not None:
            _write_array(self.folder / "validation-samples.npy", validation_samples)
        if standardization is not None:
            _write_array(self.folder / "standardization.npy", np.stack(standardization))
        write_text(self.folder / "texts.json", json.dumps(raw))
        _write_array(self.folder / "labels.npy", labels)
        _write_array(self.folder / "validation.npy", validation_labels)
        if teacher_logits is not None:
            _write_array(self.folder / "teacher.npy", teacher_logits.astype(np.float32, copy=False))
        write_text(self.folder / "complete", "")

    def fitted(self, program: Program) -> Program:
        """Return ``program`` with this lesson's standardization where it reads vectors, else as it is."""
        source = program.source
        if not isinstance(source, Standardize):
            return program
        offset, multiplier = np.load(self.folder / "standardization.npy")
        return replace(program, nodes=(replace(source, offset=offset, multiplier=multiplier), *program.nodes[1:]))

    def read(self, source: Source, *, taught: bool, refit: bool = False) -> Lesson:
        """Return the lesson as a student that begins with ``source`` sees it.

        Teacher logits and examples without labels are part of it only when ``taught``, and what is held out only for a
        ``refit``.
        """
        *views, validation = self._corpora(source.projection) if isinstance(source, ProjectText) else self._arrays(source)
        labels = np.load(self.folder / "labels.npy")
        count = len(labels) - (0 if refit else self.held_out)
        begin = 0 if taught else int((labels >= 0).argmax())  # those without labels stand first
        return Lesson(
            views=[view.part(begin, count) for view in views],
            labels=labels[begin:count],
            teacher_logits=np.load(self.folder / "teacher.npy", mmap_mode="r")[:, :count] if taught else None,
            validation=validation,
            validation_labels=np.load(self.folder / "validation.npy"),
        )

    @property
    def held_out(self) -> int:
        """Texts from which only a refit learns."""
        count: int = self._texts()["held_out"]
        return count

    @property
    def unlabelled(self) -> int:
        """Texts that only a teacher has an answer to; they stand first, and held-out ones of an unknown class last."""
        return int((np.load(self.folder / "labels.npy") >= 0).argmax())

    def views(self) -> list[list[str]]:
        """Return the views' texts; those that are held out stand last."""
        views: list[list[str]] = self._texts()["views"]
        return views

    def write_network(self, network: Network) -> None:
        """Write the network that is pruned."""
        write_bytes(self.folder / "network.pt", dumps(network))

    def network(self) -> Network:
        """Return the network that is pruned."""
        return loads((self.folder / "network.pt").read_bytes())

    def validation_inputs(self, source: Source) -> Inputs:
        """Return the validation examples as a program that begins with ``source`` reads them."""
        if isinstance(source, ProjectText):
            return encode(self._texts()["validation"], max_bytes=source.projection.max_bytes)
        name = "samples" if isinstance(source, Sound) else "examples"
        examples: Inputs = np.load(self.folder / f"validation-{name}.npy", mmap_mode="r")
        return examples

    def _texts(self) -> dict[str, Any]:
        raw: dict[str, Any] = json.loads((self.folder / "texts.json").read_text(encoding="utf-8"))
        return raw

    def _arrays(self, source: Image | Sound | Standardize) -> list[Seen]:
        arrays = [np.load(self.folder / name, mmap_mode="r") for name in ("examples.npy", "validation-examples.npy")]
        if isinstance(source, Standardize):
            return [VectorCorpus(values, source) for values in arrays]
        how = self._texts()
        variations = tuple(how.get("variations", ()))  # absent in lessons that an older understudy wrote
        return [ImageCorpus(pixels, how["mirrored"], isinstance(source, Sound), variations) for pixels in arrays]

    def _corpora(self, projection: TextProjection) -> list[Seen]:
        folder = self.folder / f"corpus-{hashlib.sha256(repr(projection).encode()).hexdigest()[:16]}"
        if not folder.exists():
            texts = self._texts()
            _write_corpora(folder, build_corpora(projection, [*texts["views"], texts["validation"]]))
        table_path = folder / "table.npy"
        table = np.load(table_path, mmap_mode="r") if table_path.exists() else None
        count = len(list(folder.glob("rows-*.npy")))
        return [Corpus(np.load(folder / f"rows-{i}.npy", mmap_mode="r"), table) for i in range(count)]


def _write_array(path: Path, array: npt.NDArray[np.generic]) -> None:
    """Write ``array``, of which NumPy makes no copy for a file."""
    with written(path) as stream:
        np.save(stream, array, allow_pickle=False)


def _write_corpora(folder: Path, corpora: list[Corpus]) -> None:
    """Write ``corpora``; when another worker was faster, its equal copy stays."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        for number, corpus in enumerate(corpora):
            np.save(temporary / f"rows-{number}.npy", corpus.rows)
        if corpora[0].table is not None:
            np.save(temporary / "table.npy", corpora[0].table)
        temporary.rename(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if not folder.exists():
            raise SetupError(
                f"the output folder must be writable and have room: received path={str(folder)!r} ({error.strerror or error}); "
                "free some space or choose another folder"
            ) from error

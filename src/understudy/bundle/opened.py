"""Opens a bundle, checks every digest, and runs its files in their own runtimes. No torch here."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from understudy.bundle.answers import FileEvaluation, Prediction
from understudy.bundle.content import Content, model_inputs
from understudy.bundle.decryption import ENCRYPTED, decrypted, open_decrypted
from understudy.bundle.manifest import (
    LARGEST_MANIFEST_BYTES,
    MANIFEST,
    Manifest,
    ManifestFile,
    altered_bundle,
    parse_manifest,
)
from understudy.bundle.vectors import Vectors, unpack_vectors
from understudy.bundle.write import PROGRAM, VECTORS
from understudy.errors import BundleError, InputError, SetupError
from understudy.export.parity import Verification, compare, measure_latency, verify_file
from understudy.export.protocol import Float32Array, FloatSession, Inputs, Session, why_not_run
from understudy.export.registry import exporter
from understudy.formats import known_formats
from understudy.metrics import accuracy, macro_f1
from understudy.program import archive
from understudy.program.interpreter import run
from understudy.program.ops import Program
from understudy.progress import Progress, SilentProgress
from understudy.projections.text import need_texts
from understudy.protection.keys import key_id, read_key

PREFERRED_FORMATS = (
    *("litert", "onnx", "python", "c", "wasm", "arduino", "executorch_xnnpack", "executorch", "coreml"),
    *("litert_float", "onnx_float", "python_float", "executorch_float", "wasm_float", "c_float", "arduino_float"),
    "coreml_float",
)
"""The order in which ``predict`` looks for a runtime that is installed; then come the formats that others add.

Exact files come first. Of those in float, compiling waits until nothing else runs, but for what is evaluated where Core ML is
missing.
"""
_BATCH = 1024


@dataclass(frozen=True)
class LoadedModel:
    """One model file of a bundle, ready to run; ``format`` and ``session.runtime`` say which and in what."""

    manifest: Manifest
    format: str
    session: Session

    def inputs(self, content: Content) -> Inputs:
        """Return what the model reads; see ``model_inputs``, also for what is raised."""
        return model_inputs(self.manifest, content)

    def scores(self, content: Content, *, progress: Progress | None = None) -> Float32Array:
        """Return probabilities float32 ``[batch, classes]``; raises as ``model_inputs`` does. ``progress`` counts examples."""
        progress = progress or SilentProgress()
        if self.manifest.max_bytes is not None:
            need_texts(content)  # before it is cut into batches, which would be of its characters
        elif not isinstance(content, np.ndarray):
            self.inputs(content)  # says what is wrong with it
        parts = []
        for begin in range(0, len(content), _BATCH):
            part = content[begin : begin + _BATCH]
            parts.append(self.session.predict(self.inputs(part)))
            progress.advance(len(part))
        return np.concatenate(parts) if parts else np.zeros((0, len(self.manifest.labels)), np.float32)

    def predict(self, content: Content, *, progress: Progress | None = None) -> list[Prediction]:
        """Return one prediction for each text, image or vector; ``progress`` counts them."""
        threshold = self.manifest.threshold
        out = []
        for row in self.scores(content, progress=progress):
            best = int(row.argmax())
            known = threshold is None or float(row[best]) >= threshold
            out.append(Prediction(self.manifest.labels[best] if known else None, float(row[best]), tuple(row.tolist())))
        return out


@dataclass(frozen=True)
class Bundle:
    """A folder with one model in one or more formats; ``Bundle.open`` is the way in."""

    folder: Path
    manifest: Manifest
    _private: bytes | None = field(default=None, repr=False, compare=False)
    _loaded: dict[str, LoadedModel] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(
        cls, folder: str | Path, *, trusted: Sequence[str | Path] | str | Path | None = None, key: str | Path | None = None
    ) -> Bundle:
        """Return the bundle in ``folder``, its signature and every file's digest checked.

        Args:
            folder: what ``compress`` or ``export`` wrote.
            trusted: public signing keys (files), or one; given, one of them must have signed. Without them a signature
                proves only that the bundle is as its unknown signer wrote it.
            key: private device key (file) of one of those that the bundle was encrypted for; a plain bundle needs none.

        Raises:
            BundleError: not a bundle, one whose files are missing, truncated or altered, or one that nobody trusted signed.
            InputError: ``trusted`` or ``key`` names no such key, or ``trusted`` none at all.
        """
        path = Path(folder)
        named = [trusted] if isinstance(trusted, str | Path) else trusted
        if named is not None and not named:  # whoever asks for a signer must not be given any
            raise InputError("a trusted signer has a key: received trusted=[]; name one, or leave trusted out")
        keys = [read_key(Path(file), "public signing key") for file in named or ()]
        private = None if key is None else read_key(Path(key), "private device key")
        manifest = parse_manifest(_read_manifest(path), folder=str(folder))
        assert manifest.signature is not None  # it was checked
        if keys and bytes.fromhex(manifest.signature.public_key) not in keys:
            raise BundleError(
                f"a bundle is signed by a key that is trusted ({', '.join(map(key_id, keys))}): received "
                f"bundle={str(folder)!r} signed by {manifest.signer}; get it from its maker, or ask for the key"
            )
        for name, entry in manifest.files.items():
            _checked_file(path, name, entry)
        return cls(path, manifest, private)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in the order of the scores."""
        return self.manifest.labels

    @property
    def signer(self) -> str:
        """The id of the key that signed it."""
        return self.manifest.signer

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that the bundle holds."""
        return self.manifest.formats

    def load(self, format: str | None = None) -> LoadedModel:  # noqa: A002 - the word in the command
        """Return the model file of ``format``, by default of the first of ``PREFERRED_FORMATS`` that runs here.

        Raises:
            InputError: the bundle does not hold this format, or is encrypted and was opened without a key of its own.
            SetupError: what runs it, or the package that adds the format, is not installed.
        """
        if format is not None:
            if format not in self.formats:
                raise InputError(
                    f"a bundle runs in a format that it holds ({', '.join(self.formats)}): received format={format!r}; "
                    "choose one of them"
                )
            if format not in known_formats():
                raise SetupError(
                    f"a format of another package needs that package: received format={format!r}, which nothing here adds; "
                    "install what the bundle was written with"
                )
            if format not in self._loaded:
                self._loaded[format] = LoadedModel(self.manifest, format, self._session(format))
            return self._loaded[format]
        missing: list[str] = []
        for candidate in sorted(self.formats, key=_preference):
            try:
                return self.load(candidate)
            except SetupError as error:
                missing.append(str(error))
        raise SetupError(
            f"running a bundle needs one runtime for its formats: received formats={','.join(self.formats)!r}, none of "
            f"which runs here; {missing[0].rpartition('; ')[2]}"
        )

    def _session(self, format_name: str) -> Session:
        if self.manifest.encryption is None:
            return exporter(format_name).open(self.folder, name=self.manifest.name)
        return open_decrypted(self.folder, self.manifest, format_name, private=self._private)

    def read(self, name: str) -> bytes:
        """Return the content of the file ``name``; in an encrypted bundle decrypted, by its name in the plain one.

        Raises:
            InputError: the bundle is encrypted and was opened without a key of its own.
            BundleError: there is no such file, or it was altered.
        """
        if self.manifest.encryption is not None and name + ENCRYPTED in self.manifest.files:
            return decrypted(self.folder, self.manifest, name + ENCRYPTED, private=self._private)
        if name not in self.manifest.files:
            raise altered_bundle(str(self.folder), f"{name}: no file of the bundle")
        return _checked_file(self.folder, name, self.manifest.files[name])

    def require_plain(self, purpose: str) -> None:
        """Raise InputError where the bundle is encrypted."""
        if self.manifest.encryption is not None:
            raise InputError(
                f"{purpose} takes a plain bundle: received bundle={str(self.folder)!r}, which is encrypted; give the bundle "
                "that it was made from, whose answers are the same"
            )

    def predict(self, content: Content, *, format: str | None = None) -> list[Prediction]:  # noqa: A002
        """Return one prediction for each text or image, from the exported file in its own runtime.

        Raises:
            InputError: the bundle does not hold this format, or ``content`` is not what it reads; see ``model_inputs``.
            SetupError: what runs it is not installed.
        """
        return self.load(format).predict(content)

    def verify(self, format: str) -> Verification:  # noqa: A002
        """Return how the file of ``format`` reproduces the bundle's own test vectors.

        One that agrees, but was not run in its own runtime, is not verified: the reason says so.

        Raises:
            SetupError: what runs it is not installed.
        """
        vectors, session = self.vectors(), self.load(format).session
        if isinstance(session, FloatSession):
            found = verify_file(self.program(), session, vectors.inputs)
        else:
            islands = self.manifest.float_islands is not None
            found = compare(session.predict(vectors.inputs), vectors.scores, logit_scale=vectors.logit_scale, islands=islands)
        reason = why_not_run(session)
        return replace(found, verified=False, reason=reason) if found.verified and reason else found

    def vectors(self) -> Vectors:
        """Return the bundle's own test vectors.

        Raises:
            BundleError: they are not there.
        """
        try:
            return unpack_vectors(self.read(VECTORS))
        except ValueError as error:
            raise altered_bundle(str(self.folder), f"{VECTORS}: {error}") from None

    def program(self) -> Program:
        """Return the integer program that every file of the bundle was exported from.

        Raises:
            BundleError: it is not there, or does not answer the bundle's vectors as they say.
        """
        if not {PROGRAM, PROGRAM + ENCRYPTED} & set(self.manifest.files):
            raise BundleError(
                f"a bundle holds its program in {PROGRAM}: received bundle={str(self.folder)!r} without it, from an older "
                "understudy; run understudy compress again"
            )
        content, vectors = self.read(PROGRAM), self.vectors()
        try:
            program = archive.loads(content)
            logits = run(program, vectors.inputs).logits
        except (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
            raise altered_bundle(str(self.folder), f"{PROGRAM}: {type(error).__name__}: {error}") from None
        if not np.array_equal(logits, vectors.scores.logits):
            raise altered_bundle(str(self.folder), f"{PROGRAM}: other answers than {VECTORS}")
        return program

    def evaluate(
        self, content: Content, labels: Sequence[str], *, progress: Progress | None = None
    ) -> tuple[FileEvaluation, ...]:
        """Return what every model file does on labelled examples, each in its own runtime; ``progress`` listens.

        Raises:
            InputError: no examples, or not one label for each.
        """
        if not len(content) or len(content) != len(labels):
            raise InputError(
                f"an evaluation needs examples with one label each: received examples={len(content)}, labels={len(labels)}; "
                "check the file, and of a table --label"
            )
        return tuple(self._evaluations(content, labels, progress or SilentProgress()))

    def _evaluations(self, content: Content, labels: Sequence[str], progress: Progress) -> Iterator[FileEvaluation]:
        index = {label: i for i, label in enumerate(self.labels)}
        truth = np.asarray([index.get(label, -1) for label in labels], np.int64)
        threshold = self.manifest.threshold
        for path, entry in self.manifest.files.items():
            if entry.format is None:
                continue
            size_bytes = entry.size_bytes if entry.budget_bytes is None else entry.budget_bytes
            try:
                model = self.load(entry.format)
            except SetupError as error:
                yield FileEvaluation(
                    entry.format, path, size_bytes, None, None, None, None, None, None, False, f"not run here: {error}"
                )
                continue
            progress.stage(f"measuring {entry.format}", total=len(content))
            scores = model.scores(content, progress=progress)
            answer = scores.argmax(axis=1)
            check = self.verify(entry.format)
            not_run = check.reason is not None and check.reason == why_not_run(model.session)
            yield FileEvaluation(
                format=entry.format,
                path=path,
                size_bytes=size_bytes,
                runtime=None if not_run else model.session.runtime,
                accuracy=accuracy(truth, answer),
                macro_f1=macro_f1(truth, answer),
                accepted_fraction=None if threshold is None else float((scores.max(axis=1) >= threshold).mean()),
                agreement=check.agreement,
                latency_us=None if not_run else measure_latency(model.session, model.inputs(content[:256])),
                verified=check.verified,
                reason=check.reason,
            )


def _preference(format_name: str) -> int:
    return PREFERRED_FORMATS.index(format_name) if format_name in PREFERRED_FORMATS else len(PREFERRED_FORMATS)


def _read_manifest(folder: Path) -> bytes:
    """Return the bytes of the manifest in ``folder``."""
    try:
        if (folder / "family.json").is_file() and not (folder / MANIFEST).exists():
            members = sorted(entry.parent.name for entry in folder.glob(f"*/{MANIFEST}"))
            raise BundleError(
                f"a bundle is one member of a family: received bundle={str(folder)!r}, the whole family; "
                f"add one of its members to the path: {', '.join(members) or 'none is there'}"
            )
        return _read_regular(folder / MANIFEST, largest_bytes=LARGEST_MANIFEST_BYTES)
    except (OSError, ValueError) as error:  # no path holds a NUL
        raise BundleError(
            f"a bundle is a folder with a {MANIFEST}: received bundle={str(folder)!r} "
            f"({getattr(error, 'strerror', None) or error}); "
            "give the path of a folder that understudy compress wrote"
        ) from None


def _checked_file(folder: Path, name: str, entry: ManifestFile) -> bytes:
    """Return the content of the file ``name``; raise unless it is what the manifest says."""
    try:
        content = _read_regular(folder / name, largest_bytes=entry.size_bytes)
    except OSError as error:
        raise altered_bundle(str(folder), f"{name}: {error.strerror or error}") from None
    if len(content) != entry.size_bytes:
        raise altered_bundle(str(folder), f"{name}: {len(content)} bytes where {entry.size_bytes} were written")
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise altered_bundle(str(folder), f"{name}: another content than was written")
    return content


def _read_regular(path: Path, *, largest_bytes: int) -> bytes:
    """Return a regular file's bytes, at most one more than ``largest_bytes``: no pipe blocks and no huge file is read.

    Raises:
        OSError: not there, not readable, or not a regular file.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, "not a regular file")
    with path.open("rb") as stream:
        return stream.read(min(largest_bytes, found.st_size) + 1)

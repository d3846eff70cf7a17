"""More formats for a finished bundle: exported from the program that it holds, run and compared, then written."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from understudy.bundle import Bundle
from understudy.bundle.content import Content, model_inputs
from understudy.bundle.write import extend_bundle
from understudy.data.dataset import load_dataset
from understudy.errors import InputError, UnderstudyError, VerificationError
from understudy.export.device_ram import static_ram_bytes
from understudy.export.parity import measure_latency, verify_file
from understudy.export.protocol import Float32Array, Inputs, Session, why_not_run
from understudy.export.registry import exporter, opened
from understudy.family import FAMILY_FILENAME, ByteRow, Family, FileRecord, Home, LatencyMicroseconds, Member
from understudy.formats import FLOAT_RAM, RAM
from understudy.job import Job
from understudy.metrics import accuracy, macro_f1
from understudy.program.interpreter import Scores, run
from understudy.program.ops import Image, Program
from understudy.progress import Progress, SilentProgress
from understudy.protection.keys import signing_key
from understudy.report.page import write_report


@dataclass(frozen=True)
class Addition:
    """One format that was added.

    Attributes:
        format: the word in ``--to``.
        path: the model file inside the bundle.
        size_bytes: what counts against a budget.
        runtime: name and version of what ran it; None when nothing here could.
        not_run: why nothing could; its program was evaluated then.
        agreement: fraction of the bundle's vectors, and of the test split, on which it gives the reference's label and logits.
        accuracy: on the test split; None without them.
        macro_f1: on the test split; None without them.
        latency_us: spread of times of single examples; None when it was not run.
        byte_table: rows that add up to ``size_bytes``.
        sha256: digest of the model file.
    """

    format: str
    path: str
    size_bytes: int
    runtime: str | None
    not_run: str | None
    agreement: float
    accuracy: float | None
    macro_f1: float | None
    latency_us: LatencyMicroseconds | None
    byte_table: tuple[tuple[str, int], ...]
    sha256: str


@dataclass(frozen=True)
class Added:
    """What ``add_formats`` did.

    Attributes:
        additions: the new formats.
        held: formats that the bundle had before; they are as they were.
        digest: the bundle's new digest.
        signer: id of the key that signed it.
        signer_before: id of the key that had signed the bundle as it was.
        family: the ``family.json`` that was brought up to date, or None where the bundle stands alone.
        budget_bytes: what the files of the family's member may have, or None.
        not_tested: why the family's test split could not be read again, or None.
    """

    additions: tuple[Addition, ...]
    held: tuple[str, ...]
    digest: str
    signer: str
    signer_before: str
    family: Path | None
    budget_bytes: int | None
    not_tested: str | None


@dataclass(frozen=True, eq=False)
class TestSplit:
    """What a new file is measured on: texts, images or sounds as a program reads them, labels, and the reference's answers."""

    inputs: Inputs
    labels: np.ndarray[tuple[int], np.dtype[np.int64]]
    reference: Scores

    @property
    def accuracy(self) -> float:
        """Accuracy of the reference."""
        return accuracy(self.labels, self.reference.logits.argmax(axis=1))


def add_formats(
    folder: Path,
    formats: Sequence[str],
    *,
    test: tuple[Content, Sequence[str | None]] | None = None,
    trusted: Sequence[str | Path] | str | Path | None = None,
    progress: Progress | None = None,
) -> Added:
    """Add ``formats`` to the bundle in ``folder``; each file is run and compared before anything is written.

    The bundle is then signed by this user's key, whoever had signed it before.

    Args:
        folder: a bundle; as a member of a family it is measured on the family's test split, if its data are still there.
        formats: words of ``--to``; those that the bundle holds are left alone.
        test: texts, images or sounds to measure the files on in place of the family's, and their labels.
        trusted: public signing keys (files); given, one of them must have signed the bundle as it is.
        progress: listens.

    Raises:
        InputError: an unknown format, or one that cannot hold this program.
        BundleError: not a bundle, or one without its program.
        SetupError: a format's packages or tools are missing, or the folder cannot be written.
        VerificationError: a file disagrees with the reference; nothing is written.
    """
    progress = progress or SilentProgress()
    bundle = Bundle.open(folder, trusted=trusted)
    bundle.require_plain("export")
    writers = {name: exporter(name) for name in dict.fromkeys(formats)}
    home = Home.of(folder)
    # a full disk between a bundle and its family's record leaves a file that the record lacks
    recorded = bundle.formats if home is None else tuple(file.format for file in home.member.files)
    wanted = [name for name in writers if name not in bundle.formats]
    unrecorded = [name for name in writers if name in bundle.formats and name not in recorded]
    held = tuple(name for name in writers if name in bundle.formats and name in recorded)
    if wanted:
        signing_key()  # read now: after the new files have run it would be late to learn that it cannot be
    program = bundle.program()
    split = None if test is None else _test_split(bundle, program, *test)
    missing = None
    if home is not None and split is None:
        try:
            split = _test_split(bundle, program, *_test_of(home.family, program))
        except UnderstudyError as error:
            missing = str(error)
    name, names = bundle.manifest.name, bundle.labels
    exports, additions = {}, []
    for word in [*wanted, *unrecorded]:
        progress.stage(f"exporting and verifying {word}")
        contents = writers[word].export(program, name=name, labels=names)
        if word in wanted:
            exports[word] = contents
        else:
            contents = {each: bundle.read(each) for each in contents}
        additions.append(_verified(bundle, program, word, contents, test=split))
    # another call may have added formats meanwhile: what it recorded stays
    latest = Bundle.open(folder, trusted=trusted).manifest if wanted else bundle.manifest
    manifest = extend_bundle(folder, latest, program=program, exports=exports) if wanted else latest
    home = Home.of(folder)
    if home is not None and additions:
        fields = {RAM: "ram_bytes", FLOAT_RAM: "float_ram_bytes"}
        static = static_ram_bytes(program, [addition.format for addition in additions])
        counted = {fields[name]: static_bytes for name, static_bytes in static.items()}
        home = replace(home, member=home.member.model_copy(update=counted))
        _record(home, additions, reason=missing or _other_examples(home, split))
    return Added(
        tuple(additions),
        held,
        manifest.digest,
        signer=manifest.signer,
        signer_before=bundle.signer,
        family=home.folder / FAMILY_FILENAME if home and additions else None,
        budget_bytes=home.member.budget_bytes if home else None,
        not_tested=missing,
    )


def _test_split(bundle: Bundle, program: Program, content: Content, labels: Sequence[str | None]) -> TestSplit:
    if len(content) != len(labels):
        raise InputError(
            f"a test needs one label for each example: received examples={len(content)}, labels={len(labels)}; "
            "check the file and --label"
        )
    index: dict[str | None, int] = {label: i for i, label in enumerate(bundle.labels)}
    truth = np.asarray([index.get(label, -1) for label in labels], np.int64)
    inputs = model_inputs(bundle.manifest, content)
    return TestSplit(inputs, truth, run(program, inputs))


def _verified(
    bundle: Bundle, program: Program, format_name: str, contents: dict[str, bytes], *, test: TestSplit | None
) -> Addition:
    """Return the record of one file after running it over the vectors and the test split in its own runtime."""
    writer = exporter(format_name)
    vectors = bundle.vectors()
    with opened(format_name, contents, name=bundle.manifest.name) as session:
        found = [_agreement(session, vectors.inputs, vectors.scores, program, format_name)]
        answers = None
        if test is not None:
            share, probabilities = _agreement(session, test.inputs, test.reference, program, format_name)
            found.append((share, probabilities))
            answers = probabilities.argmax(axis=1)
        not_run = why_not_run(session)
        timed = test.inputs if test is not None and len(test.inputs) else vectors.inputs
        latency = None if not_run else measure_latency(session, timed)
    rows = writer.byte_table(program, name=bundle.manifest.name, labels=bundle.labels)
    return Addition(
        format=format_name,
        path=writer.filename,
        size_bytes=sum(count for _, count in rows),
        runtime=None if not_run else session.runtime,
        not_run=not_run,
        agreement=min(share for share, _ in found),
        accuracy=None if test is None or answers is None else accuracy(test.labels, answers),
        macro_f1=None if test is None or answers is None else macro_f1(test.labels, answers),
        latency_us=latency,
        byte_table=tuple(rows),
        sha256=hashlib.sha256(contents[writer.filename]).hexdigest(),
    )


def _agreement(
    session: Session, inputs: Inputs, reference: Scores, program: Program, format_name: str
) -> tuple[float, Float32Array]:
    """Return the agreement of ``session`` and its probabilities.

    Raises:
        VerificationError: it does not reproduce the reference.
    """
    found = verify_file(program, session, inputs, reference=reference)
    if not found.verified:
        raise VerificationError(
            f"a {format_name} file must reproduce the reference: received a file where {found.reason}; "
            "nothing is written, please report this"
        )
    return found.agreement, found.probabilities


def _test_of(family: Family, program: Program) -> tuple[Content, list[str | None]]:
    """Return content and labels of the test split that ``family`` was measured on; None is a label that training never saw.

    Pictures are brought to the size that ``program`` reads: a teacher may have chosen it, which the job does not record.

    Raises:
        InputError: the job's data are not there any more, or hold something else.
    """
    try:
        job = Job.model_validate(family.job)
    except ValidationError as error:
        raise InputError(f"a family records its job: received job with {error.error_count()} faults; add --test FILE") from None
    source = program.source
    data = load_dataset(job, picture_shape=source.shape if isinstance(source, Image) else None)
    if (data.digest, data.test_digest) != (family.data.digest, family.data.test_digest):
        raise InputError(f"a test split stays as it was: received other rows in file={str(job.data.train)!r}; add --test FILE")
    return data.test.original, [data.class_names[i] if i >= 0 else None for i in data.test.labels]


def _other_examples(home: Home, test: TestSplit | None) -> str | None:
    """Return why ``test`` is not the family's test split (another count, or another accuracy of the reference), else None."""
    split = home.family.data.splits.get("test")
    if test is None or split is None or split.examples != len(test.inputs) or abs(test.accuracy - home.member.accuracy) > 1e-9:
        return "measured on other examples than the family's test split"
    return None


def _record(home: Home, additions: Sequence[Addition], *, reason: str | None) -> None:
    """Write the new files into ``family.json``, the card and the report; with a ``reason`` they do not count as verified."""
    member = home.member
    held = {file.format for file in member.files}
    additions = [each for each in additions if each.format not in held]
    tables = {a.format: tuple(ByteRow(where=where, bytes=count) for where, count in a.byte_table) for a in additions}
    extended = member.model_copy(
        update={
            "files": (*member.files, *(_file_record(member, addition, reason) for addition in additions)),
            "byte_table": {**member.byte_table, **tables},
        }
    )
    write_report(home.record(extended), home.folder)


def _file_record(member: Member, addition: Addition, reason: str | None) -> FileRecord:
    doubts = [f"added later; {reason}"] if reason else []
    doubts += [addition.not_run] if addition.not_run else []
    return FileRecord(
        format=addition.format,
        path=f"{member.path}/{addition.path}",
        size_bytes=addition.size_bytes,
        sha256=addition.sha256,
        accuracy=None
        if reason
        else addition.accuracy,  # of other texts it would stand beside figures it cannot be compared with
        macro_f1=None if reason else addition.macro_f1,
        agreement=addition.agreement,
        verified=not doubts,
        reason="; ".join(doubts) or None,
        latency_us=addition.latency_us,
        runtime=addition.runtime,
    )

"""From a chosen student to a verified bundle: export, run every file over the test split, measure, write, record."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from understudy.bundle import Bundle, encrypt_bundle, write_bundle
from understudy.cures import quantization_record
from understudy.data.text import TextDataset
from understudy.data.vector import VectorDataset
from understudy.errors import VerificationError
from understudy.export.device_ram import static_ram_bytes
from understudy.export.parity import measure_latency, verify_file
from understudy.export.protocol import why_not_run
from understudy.export.registry import exporter, opened
from understudy.family import (
    ByteRow,
    ClassResult,
    Confusion,
    FileRecord,
    LearningPoint,
    Member,
    OutOfScope,
    Pruning,
    Sibling,
    Trial,
)
from understudy.formats import FLOAT_RAM, RAM
from understudy.metrics import accuracy, auroc, class_scores, macro_f1, most_confused
from understudy.network.steps import Network
from understudy.program.cost import input_bytes, macs, most_weight_bits
from understudy.program.executor import Executor, evaluate
from understudy.program.interpreter import Scores, run
from understudy.program.islands import islands_of
from understudy.program.ops import Program
from understudy.projections.text import encode
from understudy.selection import Selection, Tried
from understudy.students.pruned import folded
from understudy.students.registry import build_student
from understudy.training.corpus import ImageCorpus
from understudy.training.loop import Point

if TYPE_CHECKING:
    from understudy.data.dataset import Dataset
    from understudy.training.task import TaskResult

Float32Array = npt.NDArray[np.float32]
ACCEPTED_FRACTION = 0.95
"""Share of in-scope validation examples that the calibrated threshold lets through."""
FEWEST_FOR_THRESHOLD = 19
"""Validation examples of which the least sure is as rare as a rejected example should be: of ``n`` exchangeable scores and one
more, that one is the lowest with probability 1 / (n + 1)."""
CONFUSED_PAIRS = 20


@dataclass(frozen=True)
class Order:
    """What every member of a family is delivered with.

    Attributes:
        out: the family's folder.
        name: stem of the C symbols.
        formats: files to write.
        data_digest: digest of what the student could learn from.
        seed: of the search and of every training.
        max_quantization_drop: loss of validation accuracy that quantization may cost.
        network: what the students are pruned from; None for others.
        shown_examples: test texts of each confused pair of classes that are written down.
    """

    out: Path
    name: str
    formats: tuple[str, ...]
    data_digest: str
    seed: int
    max_quantization_drop: float
    network: Network | None = None
    shown_examples: int = 0


def threshold_of(chosen: Float32Array, delivered: Float32Array) -> float | None:
    """Return the score that 95 % of examples are expected to reach with their best class, None where too few can say.

    Args:
        chosen: probabilities ``[validation examples, classes]`` of the training that never saw them.
        delivered: the same of the student that is delivered. A refit has learned them, and is surer of them than of others:
            where it is less sure all the same, its scores are lower everywhere.
    """
    if len(chosen) < FEWEST_FOR_THRESHOLD:
        return None
    return min(
        float(np.quantile(probabilities.max(axis=1), 1 - ACCEPTED_FRACTION, method="lower"))
        for probabilities in (chosen, delivered)
    )


def deliver(selection: Selection, order: Order, dataset: Dataset) -> Member:
    """Write the bundle of what ``selection`` chose and return its record.

    Raises:
        VerificationError: a file does not reproduce the reference; nothing of the bundle is left behind.
        SetupError: a runtime is missing, or the folder cannot be written.
    """
    chosen, training = selection.chosen
    program = selection.student.program
    reference = run(program, dataset.test.inputs(program))
    labels = dataset.class_names
    exports = {f: exporter(f).export(program, name=order.name, labels=labels) for f in order.formats}
    files = [_verified(program, f, exports[f], order, selection, dataset=dataset, reference=reference) for f in order.formats]
    threshold = threshold_of(training.validation_probabilities, selection.student.validation_probabilities)
    recipe = {
        **chosen.candidate.as_dict(),
        "seed": order.seed,
        "trial": chosen.number,
        **_cured_choices(selection),
    }
    write_bundle(
        order.out / selection.budget,
        program=program,
        exports=exports,
        name=order.name,
        labels=labels,
        threshold=threshold,
        recipe=recipe,
        data_digest=order.data_digest,
        columns=dataset.columns if isinstance(dataset, VectorDataset) else None,
    )
    answers = reference.logits.argmax(axis=1)
    score = accuracy(dataset.test.labels, answers)
    siblings = _siblings(selection, dataset)
    ram_bytes = static_ram_bytes(program, order.formats)
    return Member(
        budget_bytes=selection.budget_bytes,
        budget=selection.budget,
        path=selection.budget,
        name=order.name,
        student=chosen.candidate.recipe.student,
        recipe=recipe,
        weight_bits=most_weight_bits(program),
        weight_count=program.weight_count,
        macs=macs(program),
        input_bytes=input_bytes(program),
        accuracy=score,
        macro_f1=macro_f1(dataset.test.labels, answers),
        validation_accuracy=training.validation_accuracy,
        refit=selection.student in (selection.refit, selection.twin_refit),
        trained_on=tuple(dict.fromkeys([*training.trained_on, *selection.student.trained_on])),
        **_beginning(selection, classes=len(labels)),
        files=tuple(files),
        **siblings,
        float_islands=islands_of(program),
        pruning=_pruning(selection, order, dataset),
        distillation_gain=_gain(score, **siblings),
        ram_bytes=ram_bytes.get(RAM),
        float_ram_bytes=ram_bytes.get(FLOAT_RAM),
        byte_table={f: _byte_rows(program, f, order.name, labels) for f in order.formats},
        learning_curve=_curve(training.curve),
        trials=tuple(_trial(tried) for tried in selection.trials),
        per_class=_per_class(dataset, answers),
        confusions=_confusions(dataset, answers, shown=order.shown_examples),
        out_of_scope=None if threshold is None else _out_of_scope(program, reference, dataset, threshold=threshold),
        quantization=quantization_record(selection, dataset, max_drop=order.max_quantization_drop),
    )


def _beginning(selection: Selection, *, classes: int) -> dict[str, Any]:
    """Return the fields of a member that say what its training began from."""
    if selection.began_from is None:
        return {}
    recipe, budget = selection.began_from
    if budget is not None:
        return {"begins_from": budget}
    return {"parent_weights": build_student(recipe, classes=classes, seed=0).weight_count}


def encrypt(member: Member, out: Path, *, plain: Path, recipients: Sequence[Path]) -> Member:
    """Write a copy of a delivered member that only ``recipients`` open, and return its record.

    Args:
        member: of the family folder ``plain``, where its files stay.
        out: the family folder of the copy.
        plain: the family folder that ``member`` was delivered to.
        recipients: public device keys (files).

    Raises:
        VerificationError: a decrypted file does not reproduce the reference; nothing is written.
        SetupError: the folder cannot be written.
    """
    manifest = encrypt_bundle(Bundle.open(plain / member.path), out / member.path, recipients).manifest
    assert manifest.encryption is not None
    written = {entry.format: (name, entry) for name, entry in manifest.files.items()}
    files = []
    for file in member.files:
        name, entry = written[file.format]
        files.append(file.model_copy(update={"path": f"{member.path}/{name}", "sha256": entry.sha256}))
    return member.model_copy(update={"files": tuple(files), "encrypted_for": manifest.encryption.recipients})


def _cured_choices(selection: Selection) -> dict[str, Any]:
    """Return what cures of quantization changed in the recipe."""
    kept = [cure.name for cure in selection.cures if cure.state == "kept"]
    return {**({"per_channel": True} if selection.quantization.per_channel else {}), **({"cures": kept} if kept else {})}


def _verified(
    program: Program,
    format_name: str,
    contents: dict[str, bytes],
    order: Order,
    selection: Selection,
    *,
    dataset: Dataset,
    reference: Scores,
) -> FileRecord:
    """Return the record of one file after running it over the whole test split in its own runtime.

    Where that is not here, its program is evaluated, must agree all the same, and the record says that it was not run.
    """
    writer = exporter(format_name)
    test_inputs = dataset.test.inputs(program)
    with opened(format_name, contents, name=order.name) as session:
        found = verify_file(program, session, test_inputs, reference=reference)
        if not found.verified:
            raise VerificationError(
                f"a {format_name} file must reproduce the reference: received budget={selection.budget!r} "
                f"where {found.reason}; it is not handed over, please report this"
            )
        not_run = why_not_run(session)
        latency = None if not_run else measure_latency(session, test_inputs)
    answers = found.probabilities.argmax(axis=1)
    return FileRecord(
        format=format_name,
        path=f"{selection.budget}/{writer.filename}",
        size_bytes=sum(row.bytes for row in _byte_rows(program, format_name, order.name, dataset.class_names)),
        sha256=hashlib.sha256(contents[writer.filename]).hexdigest(),
        accuracy=accuracy(dataset.test.labels, answers),
        macro_f1=macro_f1(dataset.test.labels, answers),
        agreement=found.agreement,
        verified=not_run is None,
        reason=not_run,
        latency_us=latency,
        runtime=None if not_run else session.runtime,
    )


def _pruning(selection: Selection, order: Order, dataset: Dataset) -> Pruning | None:
    """Return what pruning cost, measured on the test split in float."""
    trained = (selection.student, selection.uncured, selection.best.result)  # a cure has no stages of its own
    stages = next((result.stages for result in trained if result is not None and result.stages is not None), None)
    if stages is None or order.network is None:
        return None
    original = folded(selection.chosen[0].candidate.recipe, order.network)

    def reached(program: Program) -> float:
        corpus = ImageCorpus(np.asarray(dataset.test.inputs(program), np.uint8))
        return accuracy(dataset.test.labels, evaluate(Executor(program), corpus.batches()).argmax(axis=1))

    return Pruning(
        weights_before=original.weight_count,
        weights_after=stages.cut.weight_count,
        macs_before=macs(original),
        macs_after=macs(stages.cut),
        accuracy_before=reached(original),
        accuracy_cut=reached(stages.cut),
        accuracy_finetuned=reached(stages.finetuned),
    )


def _siblings(selection: Selection, dataset: Dataset) -> dict[str, Sibling | None]:
    """Return the twin, and the student with the teacher where its twin is delivered, measured on the test split."""
    tried = selection.best_twin
    if tried is None or tried.twin is None or selection.twin is None:
        return {"twin": None, "passed_over": None}
    assert selection.best.result is not None
    return {
        "twin": _sibling(tried.twin, selection.twin, dataset),
        "passed_over": _sibling(selection.best.result, selection.taught, dataset) if selection.delivers_twin else None,
    }


def _sibling(chosen: TaskResult, final: TaskResult, dataset: Dataset) -> Sibling:
    """Return the record of a student: what chose it, and the test accuracy of its last training."""
    logits = run(final.program, dataset.test.inputs(final.program)).logits
    return Sibling(
        accuracy=accuracy(dataset.test.labels, logits.argmax(axis=1)),
        validation_accuracy=chosen.validation_accuracy,
        learning_curve=_curve(chosen.curve),
    )


def _gain(score: float, *, twin: Sibling | None, passed_over: Sibling | None) -> float | None:
    """Return what the teacher bought: accuracy with it, the delivered student's ``score`` or not, minus the twin's."""
    return None if twin is None else (passed_over.accuracy if passed_over else score) - twin.accuracy


def _byte_rows(program: Program, format_name: str, name: str, labels: Sequence[str]) -> tuple[ByteRow, ...]:
    rows = exporter(format_name).byte_table(program, name=name, labels=labels)
    return tuple(ByteRow(where=where, bytes=count) for where, count in rows)


def _curve(points: Sequence[Point]) -> tuple[LearningPoint, ...]:
    return tuple(
        LearningPoint(
            step=p.step,
            train_loss=dict(p.terms),
            validation_accuracy=p.validation_accuracy,
            phase="quantize" if p.quantized else "train",
        )
        for p in points
    )


def _trial(tried: Tried) -> Trial:
    return Trial(
        number=tried.number,
        recipe=tried.candidate.as_dict(),
        state="complete" if tried.result else "pruned",
        validation_accuracy=tried.validation_accuracy,
        size_bytes=tried.size_bytes,
        seconds=tried.seconds,
    )


def _per_class(dataset: Dataset, answers: npt.NDArray[np.int64]) -> tuple[ClassResult, ...]:
    scores = class_scores(dataset.test.labels, answers, classes=len(dataset.class_names))
    return tuple(
        ClassResult(
            label=label,
            support=int(scores.support[i]),
            precision=float(scores.precision[i]),
            recall=float(scores.recall[i]),
            f1=float(scores.f1[i]),
        )
        for i, label in enumerate(dataset.class_names)
    )


def _confusions(dataset: Dataset, answers: npt.NDArray[np.int64], *, shown: int) -> tuple[Confusion, ...]:
    """Return the pairs of classes that are most often confused, each with the first ``shown`` of its texts."""
    names, labels = dataset.class_names, dataset.test.labels

    def texts(actual: int, predicted: int) -> tuple[str, ...]:
        if not isinstance(dataset, TextDataset):
            return ()
        return tuple(dataset.test.texts[row] for row in np.flatnonzero((labels == actual) & (answers == predicted))[:shown])

    return tuple(
        Confusion(
            actual=names[pair.actual],
            predicted=names[pair.predicted],
            count=pair.count,
            examples=texts(pair.actual, pair.predicted),
        )
        for pair in most_confused(labels, answers, limit=CONFUSED_PAIRS)
    )


def _out_of_scope(program: Program, reference: Scores, dataset: Dataset, *, threshold: float) -> OutOfScope:
    inside = reference.probabilities.max(axis=1)
    if not dataset.out_of_scope:
        return OutOfScope(threshold=threshold, accepted_fraction=float((inside >= threshold).mean()))
    ids = encode(dataset.out_of_scope, max_bytes=program.projection.max_bytes)
    outside = run(program, ids).probabilities.max(axis=1)
    return OutOfScope(
        threshold=threshold,
        accepted_fraction=float((inside >= threshold).mean()),
        auroc=auroc(inside, outside),
        rejected_fraction=float((outside < threshold).mean()),
    )

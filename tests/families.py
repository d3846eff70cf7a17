"""A family record as a real job writes it, with everything that a report must survive."""

from __future__ import annotations

import math
import random
from typing import Literal

from understudy.family import (
    Baseline,
    ByteRow,
    ClassResult,
    Confusion,
    CreatedWith,
    Data,
    Family,
    FileRecord,
    Infeasible,
    LatencyMicroseconds,
    LearningPoint,
    Machine,
    Member,
    OutOfScope,
    Sibling,
    Split,
    Teacher,
    Trial,
)
from understudy.neural_bits import BitsPoint, NeuralBits
from understudy.record import created_with

HOSTILE_LABELS = (
    "<script>alert('label')</script>",
    "quotes \" and ' and &amp; and {{ 7 * 7 }}",
    "tab\there",
    "line\nbreak",
    "a | pipe * and _underscore_ [link](x)",
    "очень_далеко",
    "天気予報",
    "حجز_طاولة",
    "an_intent_with_a_name_that_never_ends_" * 8,
    "",
    "not utf-8 \udcff",
)
CLASSES = HOSTILE_LABELS + tuple(f"intent_{index:03d}" for index in range(150 - len(HOSTILE_LABELS)))
TEST_ROWS = 4500
SECRET_TEXT = "what is my <b>balance</b> at the bank"


def _round(value: float) -> float:
    return round(value * TEST_ROWS) / TEST_ROWS


def _curve(random_numbers: random.Random, final: float, *, teacher: bool) -> tuple[LearningPoint, ...]:
    points = []
    for index in range(1, 31):
        share = index / 30
        loss = 2.6 * math.exp(-4 * share) + 0.15 + 0.05 * random_numbers.random()
        losses = {"student on labels": loss} | ({"student on teacher": 1.4 * loss} if teacher else {})
        points.append(
            LearningPoint(
                step=index * 100,
                train_loss=losses,
                validation_accuracy=min(1.0, final * (1 - math.exp(-6 * share)) + 0.004 * random_numbers.random()),
                phase="train" if index <= 22 else "quantize",
            )
        )
    return tuple(points)


def _file(folder: str, name: str, size_bytes: int, *, accuracy: float, microseconds: float) -> FileRecord:
    filename = {"onnx": "model.onnx", "litert": "model.tflite", "c": "model.h"}[name]
    runtime = {"onnx": "onnxruntime 1.31.1", "litert": "ai-edge-litert 2.3.0", "c": "C, gcc 14.2.0 -O2"}[name]
    return FileRecord(
        format=name,
        path=f"{folder}/{filename}",
        size_bytes=size_bytes,
        sha256="ab" * 32,
        accuracy=accuracy,
        macro_f1=_round(accuracy - 0.004),
        agreement=1.0,
        verified=True,
        latency_us=LatencyMicroseconds(median=microseconds, p10=microseconds * 0.94, p90=microseconds * 1.21),
        runtime=runtime,
    )


def _byte_rows(size_bytes: int, *, overhead: int, projection: int) -> tuple[ByteRow, ...]:
    rest = size_bytes - overhead - projection
    shares = {"linear tokens": 0.46, "linear context": 0.22, "linear logits": 0.3}
    rows = [ByteRow(where=where, bytes=int(rest * share)) for where, share in shares.items()]
    rows.append(ByteRow(where="projection constants", bytes=projection))
    rows.append(ByteRow(where="file structure", bytes=size_bytes - sum(row.bytes for row in rows)))
    return tuple(rows)


def _code_rows(size_bytes: int) -> tuple[ByteRow, ...]:
    code = {
        "projection": 824,
        "linear": 360,
        "requantization": 284,
        "max_pool": 52,
        "sum_pool": 64,
        "softmax": 256,
        "predict": 214,
    }
    rows = [ByteRow(where="projection constants", bytes=0), ByteRow(where="projection tables", bytes=72)]
    rows += [ByteRow(where=f"code: {name}", bytes=size) for name, size in code.items()]
    rest = size_bytes - sum(row.bytes for row in rows)
    tokens, context = int(rest * 0.47), int(rest * 0.23)
    sizes = {"linear tokens": tokens, "linear context": context, "linear logits": rest - tokens - context}
    return (*(ByteRow(where=where, bytes=size) for where, size in sizes.items()), *rows)


def _member(budget: str, *, kilobytes: float, accuracy: float, gain: float, seed: int, classes: tuple[str, ...]) -> Member:
    numbers = random.Random(seed)
    size = int(kilobytes * 1024)
    sizes = {"onnx": int(size * 0.97), "litert": size, "c": int(size * 0.9)}
    speed = {"onnx": 61.0, "litert": 84.0, "c": 22.0}
    accuracy, twin = _round(accuracy), _round(accuracy - gain)
    per_class = []
    for label in classes:
        recall = round(min(1.0, max(0.0, numbers.gauss(accuracy, 0.08))) * 30) / 30
        precision = min(1.0, max(0.0, numbers.gauss(accuracy, 0.06)))
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        per_class.append(ClassResult(label=label, support=30, precision=precision, recall=recall, f1=f1))
    pairs = [numbers.sample(classes, 2) for _ in range(24)]
    counts = sorted((numbers.randint(1, 9) for _ in pairs), reverse=True)
    trials = []
    for number in range(8):
        complete = number % 3 != 1
        trials.append(
            Trial(
                number=number,
                recipe={
                    "student": "projection_sequence",
                    "max_bytes": 128,
                    "features": 128 * (1 + number % 4),
                    "width": 24 + 8 * number,
                    "bits": 4,
                },
                state="complete" if complete else "pruned",
                validation_accuracy=accuracy - 0.02 + 0.0025 * number if complete else None,
                size_bytes=size - 900 + 100 * number,
                seconds=20.5 + number,
            )
        )
    return Member(
        budget_bytes=int(budget.removesuffix("KB")) * 1024,
        budget=budget,
        path=budget,
        name="intents",
        student="projection_sequence",
        recipe={"student": "projection_sequence", "features": 256, "width": 48, "per_channel": False},
        weight_bits=4,
        weight_count=2 * size - 3000,
        macs=30 * size,
        input_bytes=128,
        accuracy=accuracy,
        macro_f1=_round(accuracy - 0.004),
        validation_accuracy=_round(accuracy + 0.003),
        files=tuple(
            _file(budget, name, sizes[name], accuracy=accuracy, microseconds=speed[name] * (1 + kilobytes / 60))
            for name in sizes
        ),
        twin=Sibling(
            accuracy=twin, validation_accuracy=_round(twin + 0.002), learning_curve=_curve(numbers, twin, teacher=False)
        ),
        distillation_gain=accuracy - twin,
        ram_bytes=int(4096 + kilobytes * 40),
        byte_table={
            "onnx": _byte_rows(sizes["onnx"], overhead=1900, projection=1650),
            "litert": _byte_rows(sizes["litert"], overhead=2600, projection=1650),
            "c": _code_rows(sizes["c"]),
        },
        learning_curve=_curve(numbers, accuracy, teacher=True),
        trials=tuple(trials),
        per_class=tuple(per_class),
        confusions=tuple(Confusion(actual=a, predicted=b, count=n) for (a, b), n in zip(pairs, counts, strict=True)),
        out_of_scope=OutOfScope(threshold=0.413, accepted_fraction=0.951, auroc=0.93, rejected_fraction=0.62),
    )


def clinc_like_family() -> Family:
    """150 classes, three budgets in three formats, one budget out of reach, one teacher that did harm at 16 KB."""
    length_bytes = {"0.05": 18, "0.5": 40, "0.95": 79, "1": 136}
    splits = {
        "train": Split(
            examples=15000,
            class_counts=tuple(40 + (index * 37) % 121 for index in range(len(CLASSES))),
            length_bytes=length_bytes,
            cut_fraction=0.0004,
        ),
        "validation": Split(examples=3000, class_counts=(20,) * 150, length_bytes=length_bytes, cut_fraction=0.0),
        "test": Split(
            examples=TEST_ROWS, class_counts=(30,) * 150, unseen_labels=3, length_bytes=length_bytes, cut_fraction=0.0
        ),
        "out_of_scope": Split(examples=1000, length_bytes=length_bytes, cut_fraction=0.0),
    }
    return Family(
        name="clinc150",
        created_with=CreatedWith(
            understudy="0.1.0",
            python="3.11.9",
            packages={"numpy": "2.1.0", "onnxruntime": "1.31.1", "torch": "2.13.0"},
            machine=Machine(system="Linux", architecture="x86_64", cpu_count=2, threads=2),
        ),
        command=("understudy", "compress", "job.toml", "--budget", "16KB", "--out", "runs/my intents", "--seed", "7"),
        seed=7,
        job={"data": {"train": "train.csv", "text": "text", "label": "intent"}, "budgets": ["2KB", "16KB", "32KB", "128KB"]},
        data=Data(
            class_names=CLASSES,
            splits=splits,
            warnings={"duplicate_across_splits": 12, "test_label_unseen_in_train": 3, "text_cut_at_max_bytes": 6},
            digest="cd" * 32,
            test_digest="ef" * 32,
        ),
        teacher=Teacher(
            name="default",
            description="ensemble over character and word n-grams, trained here",
            validation_accuracy=0.958,
            accuracy=0.9511,
            size_bytes=61_000_000,
        ),
        baselines=(
            Baseline(name="majority class", accuracy=30 / TEST_ROWS, macro_f1=0.0001),
            Baseline(name="TF-IDF + logistic regression", accuracy=0.8991, macro_f1=0.897, size_bytes=6_400_000),
        ),
        members=(
            _member("16KB", kilobytes=15.6, accuracy=0.871, gain=-0.0042, seed=1, classes=CLASSES),
            _member("32KB", kilobytes=31.2, accuracy=0.913, gain=0.006, seed=2, classes=CLASSES),
            _member("128KB", kilobytes=98.4, accuracy=0.939, gain=0.0087, seed=3, classes=CLASSES),
        ),
        infeasible=(Infeasible(budget_bytes=2048, budget="2KB", smallest_bytes=6310, format="litert"),),
    )


def study_of_bits(*, kind: Literal["texts", "windows"], accuracy: float) -> NeuralBits:
    """Return a finished study of 8 and 64 bits, with which a student reaches the same ``accuracy``."""
    return NeuralBits(
        name="x",
        created_with=created_with(threads=1),
        job={},
        classes=3,
        test_examples=40,
        kind=kind,
        steps=10,
        finished=True,
        points=tuple(
            BitsPoint(bits=bits, weight_count=10, validation_accuracy=accuracy, accuracy=accuracy, seconds=1)
            for bits in (8, 64)
        ),
    )

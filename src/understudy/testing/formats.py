"""The suite of file formats: the hash and the integer logits to the bit, bytes that add up, damage that is refused.

Files in float are held to the program in real numbers instead, within a tolerance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from understudy.bundle import Bundle, write_bundle
from understudy.bundle.content import Content
from understudy.errors import InputError, UnderstudyError
from understudy.export.parity import verify_file
from understudy.export.protocol import Exporter, Inputs, Session, why_not_run
from understudy.program.interpreter import run
from understudy.program.ops import (
    Image,
    Linear,
    MaxPool,
    Program,
    ProjectText,
    Quantization,
    Softmax,
    Sound,
    Standardize,
    Window,
)
from understudy.program.real import REAL_TOLERANCE, real_probabilities
from understudy.projections.text import FeatureGroup, GroupKind, TextProjection, encode
from understudy.testing.image_programs import box_program, branched_program, gated_program, image_program, pictures
from understudy.testing.programs import SEQUENCE, TEXTS, crooked_program, sequence_program, utterance_program
from understudy.testing.scan_programs import scan_program
from understudy.testing.sound_programs import seen_sound_program, sound_program, sounds
from understudy.testing.vector_programs import measurements, seen_program, vector_program, window_program

NAME = "tiny"
LABELS = ("play music", "tab\there", 'say "hi"', "line\nbreak", "back\\slash", "größe 中文", "</script>")
"""A label for each class of ``sequence_program``; whatever a file does with them, they must come out as they are."""
ONE_LINE = "an error is one line"


Reads = Literal["text", "image", "vector", "sound"]
READS: tuple[Reads, ...] = ("text", "image", "vector", "sound")


def reads(program: Program) -> Reads:
    """Return what goes into ``program``."""
    if isinstance(program.source, Sound):
        return "sound"
    if isinstance(program.source, Standardize):
        return "vector"
    return "image" if isinstance(program.source, Image) else "text"


@dataclass(frozen=True)
class Case:
    """A program, with a name for the test's report."""

    name: str
    program: Program


def _short(max_bytes: int, max_words: int) -> Program:
    """Return a program for texts that end early, in bytes or in words."""
    program = sequence_program()
    projection = replace(SEQUENCE, max_bytes=max_bytes, max_words=max_words)
    return replace(program, nodes=(ProjectText("bytes", "features", projection), *program.nodes[1:]))


def _twice_read_window() -> Program:
    """Return a program with layers of different bits on one window."""
    wide, narrow = sequence_program(bits=8), sequence_program(bits=4, seed=1)
    nodes = list(wide.nodes)
    at = next(i for i, node in enumerate(nodes) if isinstance(node, Window))
    other = next(node for node in narrow.linears if node.input == nodes[at].output)
    nodes.insert(at + 1, replace(other, output="context4"))
    pool = nodes[at + 3]
    assert isinstance(pool, MaxPool)
    nodes[at + 3] = replace(pool, input="context4")
    return Program(tuple(nodes), {**wide.quantization, "context4": wide.quantization["context"]})


def _text_cases() -> tuple[Case, ...]:
    found = [Case(f"crooked-{bits}", crooked_program(bits=bits)) for bits in (4, 8)]
    for bits in (4, 8):
        for per_channel in (False, True):
            how = f"{bits}-{'channel' if per_channel else 'tensor'}"
            found.append(Case(f"sequence-{how}", sequence_program(bits=bits, per_channel=per_channel)))
            found.append(Case(f"utterance-{how}", utterance_program(bits=bits, per_channel=per_channel)))
    found += [Case(f"short-{size}-{words}", _short(size, words)) for size, words in ((1, 1), (2, 3), (7, 7), (33, 2))]
    return (*found, Case("window-read-twice", _twice_read_window()))


TEXT_CASES = _text_cases()
IMAGE_CASES = (
    Case("image-channel", image_program()),
    Case("image-4-tensor", image_program(bits=4, per_channel=False)),
    Case("image-tensor", image_program(per_channel=False)),
    Case("image-4-channel", image_program(bits=4)),
    Case("image-digits", image_program(shape=(28, 28, 1), channels=16)),
    Case("image-uneven-padding", image_program(padding=(2, 0, 1, 2))),
    Case("image-no-padding", image_program(padding=(0, 0, 0, 0), shape=(30, 30, 1))),
    Case("image-tall-kernel", image_program(kernel=(5, 3), stride=1)),
    Case("branched-channel", branched_program()),
    Case("branched-4-tensor-flat", branched_program(bits=4, per_channel=False, flat=True, shape=(8, 8, 1))),
    Case("branched-uneven-pool", branched_program(pool=(3, 2), padding=(2, 0, 0, 1), shape=(9, 11, 2), channels=5)),
    Case("gated-channel", gated_program()),
    Case("gated-tensor", gated_program(per_channel=False, shape=(8, 8, 1), channels=5, seed=3)),
    Case("gated-uneven-kernel", gated_program(kernel=(7, 3), shape=(21, 18, 2), channels=17, seed=2)),
    Case("boxes", box_program()),
    Case("boxes-digits", box_program(shape=(28, 28, 1), rows=(65535, 3, 7, 0, 12345) * 9, bits=4)),
    Case("boxes-large", box_program(shape=(40, 37, 2), rows=tuple(range(300)))),
    Case("boxes-behind-convolution", box_program(channels=6)),
    Case("boxes-many-channels", box_program(shape=(16, 16, 1), channels=500, rows=tuple(range(20)))),
    Case("boxes-in-a-row", box_program(shape=(1, 16, 1), rows=tuple(range(16)))),
    Case("image-odd", image_program(shape=(9, 7, 2), channels=5, classes=3)),
)
SOUND_CASES = (
    Case("sound-seen", seen_sound_program()),
    Case("sound-seen-wideband", seen_sound_program(sample_rate=16_000, samples=1280)),
    Case("sound-seen-fastest", seen_sound_program(sample_rate=48_000, samples=3072)),
    Case("sound-seen-slowest", seen_sound_program(sample_rate=4000, samples=256)),
    Case("sound", sound_program()),
    Case("sound-4-tensor", sound_program(sample_rate=11_025, bits=4, per_channel=False, seed=1)),
)
VECTOR_CASES = (
    Case("vector-seen", seen_program()),
    Case("vector-channel", vector_program()),
    Case("vector-4-tensor", vector_program(bits=4, per_channel=False)),
    Case("vector-one", vector_program(inputs=1, width=4, bias=False)),
    Case("vector-long", vector_program(inputs=300, width=40, classes=3, seed=1)),
    Case("window-channel", window_program()),
    Case("window-4-tensor", window_program(bits=4, per_channel=False, shape=(49, 10))),
    Case("window-one-channel", window_program(shape=(64, 1), kernel=3, classes=3)),
)
CASES = (*TEXT_CASES, *IMAGE_CASES, *VECTOR_CASES, *SOUND_CASES)
"""Programs that together have every node but recurrences, both widths of weights and both kinds of scales."""
SCAN_CASES = (
    Case("scan-channel", scan_program()),
    Case("scan-4-tensor-signs", scan_program(bits=4, per_channel=False, signs=24)),
    Case("scan-long", scan_program(shape=(300, 1), units=(6, 4, 4), classes=3, seed=1)),
)
"""Recurrences, for formats that hold them."""


@dataclass(frozen=True)
class Features:
    """Groups of features, and the character n-grams among them."""

    name: str
    kinds: tuple[GroupKind, ...]
    orders: tuple[int, ...]


FEATURES = (
    Features("bytes", ("character",), (1,)),
    Features("wide", ("character",), (8, 2)),
    Features("words", ("word",), (2, 3)),
    Features("pairs", ("skip2",), (2,)),
    Features("all", ("skip0", "character", "skip1", "word"), (1, 5)),
)


def texts_as_bytes(max_bytes: int, *, count: int = 30) -> Inputs:
    """Return odd texts, random bytes, and texts full of short tokens, int32 ``[batch, max_bytes]``."""
    rng = np.random.default_rng(max_bytes)
    alphabet = np.frombuffer(b"abD~ C,.  1\xc3\x7f\xe2\xe2\x80\xf0\xc2", np.uint8)
    return np.concatenate(
        [
            encode(TEXTS, max_bytes=max_bytes),
            rng.integers(0, 256, (count, max_bytes)).astype(np.int32),
            rng.choice(alphabet, (count, max_bytes)).astype(np.int32),
        ]
    )


def examples(program: Program) -> Inputs:
    """Return odd examples of what ``program`` reads."""
    source = program.source
    if isinstance(source, Sound):
        return sounds(program, 36)
    if isinstance(source, Standardize):
        return measurements(program, 100)
    return pictures(program, 100) if isinstance(source, Image) else texts_as_bytes(source.projection.max_bytes)


def opened(exporter: Exporter, program: Program, folder: Path, *, labels: Sequence[str] | None = None) -> Session:
    """Write the files of ``program`` to ``folder`` and return a session on them."""
    for filename, content in exporter.export(program, name=NAME, labels=labels).items():
        (folder / filename).write_bytes(content)
    return exporter.open(folder, name=NAME)


def small_program(kind: Reads, *, bits: int = 8, width: int = 12, seed: int = 0) -> Program:
    """Return a program with seven classes that reads texts, images, vectors or sounds."""
    if kind == "vector":
        return vector_program(inputs=64, bits=bits, width=width, seed=seed)
    if kind == "sound":
        return sound_program(bits=bits, channels=width, seed=seed)
    if kind == "image":
        return image_program(bits=bits, channels=width, seed=seed)
    return sequence_program(bits=bits, width=width, seed=seed)


def feature_program(projection: TextProjection) -> Program:
    """Return a program whose logits are the features themselves: unit weights, equal scales."""
    count = projection.features
    identity = np.eye(count, dtype=np.int8)
    linear = Linear("features", "logits", identity, np.zeros(count, np.int32), False, 8, False, np.ones(1, np.float32))
    nodes = (ProjectText("bytes", "features", projection), linear, Softmax("logits", "probabilities"))
    return Program(nodes, {"features": Quantization(1.0, 0), "logits": Quantization(1.0, 0)})


class FormatSuite:
    """Every test that a format must pass.

    Implementers: give ``exporter``; say what it ``reads`` where it cannot hold both; take fewer ``cases`` and ``features`` only
    where a file takes long to build.

    Attributes:
        exporter: the format.
        reads: what its models may read; others it refuses.
        cases: programs whose integer logits must be right.
        features: projections that must be right.
        counts_files: what counts against a budget is the length of all files; False where it is something else.
        in_float: tensors and weights are float32: files answer as the program in real numbers, and 4 bits save nothing.
        packs_four_bits: two 4-bit weights share a byte; False where each takes as much as an 8-bit one.
    """

    exporter: Exporter
    reads: Sequence[Reads] = READS
    cases: Sequence[Case] = CASES
    features: Sequence[Features] = FEATURES
    counts_files = True
    in_float = False
    packs_four_bits = True

    @classmethod
    def pytest_generate_tests(cls, metafunc: Any) -> None:
        """Give each test that asks for one a case, a projection, or what is read."""
        kinds = [kind for kind in READS if kind in cls.reads]
        cases = [case for case in cls.cases if reads(case.program) in cls.reads]
        given: dict[str, tuple[Sequence[object], list[str]]] = {
            "case": (cases, [case.name for case in cases]),
            "features_case": (cls.features, [features.name for features in cls.features]),
            "kind": (kinds, list(kinds)),
        }
        for name, (values, ids) in given.items():
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, values, ids=ids)

    def test_integer_logits_equal_the_interpreters(self, case: Case, tmp_path: Path) -> None:
        """Labels and integer logits are equal on odd texts and random bytes, odd images, odd numbers, or odd sounds."""
        result = verify_file(case.program, opened(self.exporter, case.program, tmp_path), examples(case.program))
        assert result.reason is None, f"a file answers as the program: {result.reason}"
        assert result.agreement == 1.0, f"every label and logit is the program's: agreement={result.agreement}"
        tolerance = REAL_TOLERANCE if self.in_float else 1e-6
        assert result.max_probability_difference < tolerance, f"probabilities differ by {result.max_probability_difference}"

    @pytest.mark.parametrize("values", ["count", "ternary", "binary"])
    def test_summed_features_equal_the_hosts(self, features_case: Features, values: Any, tmp_path: Path) -> None:
        """Every kind of feature is right, seen through a layer that changes nothing."""
        groups = tuple(FeatureGroup(kind, 6) for kind in features_case.kinds)
        orders = features_case.orders
        projection = TextProjection(
            groups, max_bytes=70, max_words=9, orders=orders, pooling="utterance", values=values, seed=3
        )
        program = feature_program(projection)
        result = verify_file(program, opened(self.exporter, program, tmp_path), texts_as_bytes(70))
        # sums over a text may differ so much that float32 probabilities cannot show all of them; the small ones are compared
        assert result.reason is None, f"features are those of spec/projection.md: {result.reason}"

    def test_it_holds_what_it_says_and_refuses_the_rest(self) -> None:
        """What a format cannot hold is refused with one line, before anything is written."""
        for kind in READS:
            program = small_program(kind)
            if kind in self.reads:
                assert self.exporter.byte_table(program, name=NAME), f"byte_table has rows for what reads {kind}"
                continue
            for refuse in (self.exporter.export, self.exporter.byte_table):
                with pytest.raises(InputError, match="received ") as caught:
                    refuse(program, name=NAME)
                assert "\n" not in str(caught.value), ONE_LINE

    def test_bytes_are_a_function_of_the_arguments_and_the_table_adds_up(self, kind: Reads) -> None:
        """The same program gives the same bytes, and what counts against a budget depends on shapes alone."""
        program = small_program(kind, bits=4)
        files = self.exporter.export(program, name=NAME, labels=LABELS)
        assert self.exporter.filename in files, f"export gives {self.exporter.filename!r}: received {', '.join(files)}"
        assert files == self.exporter.export(program, name=NAME, labels=LABELS), "the same program gives the same bytes"
        rows = self.exporter.byte_table(program, name=NAME, labels=LABELS)
        assert all(size >= 0 for _, size in rows), f"no row of byte_table is negative: {rows}"
        counted, written = sum(size for _, size in rows), sum(map(len, files.values()))
        if self.counts_files:
            assert counted == written, f"byte_table adds up to the files, or counts_files is False: {counted}, not {written}"
        other = self.exporter.byte_table(small_program(kind, bits=4, seed=1), name=NAME, labels=LABELS)
        assert rows == other, f"byte_table depends on shapes alone, not on weights (no compression): {rows}, then {other}"

    def test_four_bits_save_half_of_the_weights(self, kind: Reads) -> None:
        """A further 4-bit weight costs about half of an 8-bit one; what spreads them out once may cost something."""
        saved, weights = [], []
        for width in (32, 64):
            eight, four = (
                sum(size for _, size in self.exporter.byte_table(small_program(kind, bits=bits, width=width), name=NAME))
                for bits in (8, 4)
            )
            saved.append(eight - four)
            weights.append(sum(linear.weight.size for linear in small_program(kind, width=width).linears))
        if self.in_float or not self.packs_four_bits:
            assert not self.in_float or saved == [0, 0], f"files in float take as much with 4 bits: saved bytes={saved}"
            assert min(saved) >= 0, f"4-bit weights take no more than 8-bit ones: saved bytes={saved}"
            return
        rule = f"two 4-bit weights share a byte, or packs_four_bits is False: saved bytes={saved} of weights={weights}"
        assert saved[0] > 0, rule
        assert saved[1] - saved[0] >= 0.45 * (weights[1] - weights[0]), rule

    def test_shapes_and_types_of_a_session(self, kind: Reads, tmp_path: Path) -> None:
        """Float32 probabilities that add up to one, also for no examples."""
        program = small_program(kind)
        session = opened(self.exporter, program, tmp_path)
        answer = session.predict(examples(program)[:3])
        assert answer.dtype == np.float32, f"probabilities are float32: received {answer.dtype}"
        assert answer.shape == (3, 7), f"probabilities are [batch, classes]: received {answer.shape} for 3 examples of 7"
        assert np.allclose(answer.sum(axis=1), 1), f"probabilities add up to one: received {answer.sum(axis=1)}"
        nothing = session.predict(examples(program)[:0]).shape
        assert nothing == (0, 7), f"no examples give no rows of 7 classes: received {nothing}"
        assert session.runtime, "a session names its runtime"

    def test_a_bundle_holds_it(self, kind: Reads, tmp_path: Path) -> None:
        """A bundle with this format opens, verifies itself and predicts; where its runtime is missing, it says so."""
        program = small_program(kind)
        exports = {self.exporter.format: self.exporter.export(program, name=NAME, labels=LABELS)}
        digest = "0" * 64
        write_bundle(
            tmp_path / "b",
            program=program,
            exports=exports,
            name=NAME,
            labels=LABELS,
            threshold=None,
            recipe={},
            data_digest=digest,
        )
        bundle = Bundle.open(tmp_path / "b")
        assert bundle.formats == (self.exporter.format,), "a bundle finds the format by its filename"
        check, reason = bundle.verify(self.exporter.format), why_not_run(bundle.load().session)
        found = (check.agreement, check.verified, check.reason)
        assert found == (1.0, reason is None, reason), f"a bundle verifies its file: agreement, verified, reason={found}"
        content: Content = TEXTS if isinstance(program.source, ProjectText) else examples(program)  # type: ignore[assignment]
        inputs = encode(TEXTS, max_bytes=64) if content is TEXTS else examples(program)
        expected = real_probabilities(program, inputs) if self.in_float else run(program, inputs).probabilities
        predictions = bundle.predict(content)
        labels = [LABELS[i] for i in expected.argmax(axis=1)]
        assert [p.label for p in predictions] == labels, "a bundle predicts the program's labels"
        (entry,) = [entry for entry in bundle.manifest.files.values() if entry.format]
        rows = self.exporter.byte_table(program, name=NAME, labels=LABELS)
        assert entry.budget_bytes == sum(size for _, size in rows), "a bundle counts what byte_table adds up to"
        Bundle.open(tmp_path / "b")  # running it changed nothing

    def test_damaged_files_are_refused(self, tmp_path: Path) -> None:
        """A file that ends early, or is something else, gives one line and no wrong answers."""
        files = self.exporter.export(small_program(self.reads[0]), name=NAME, labels=LABELS)
        content = files[self.exporter.filename]
        for filename, intact in files.items():
            (tmp_path / filename).write_bytes(intact)
        rng = np.random.default_rng(0)
        cuts = [content[:size] for size in (0, 1, 12, *rng.integers(20, len(content) - 1, 4))]
        for damaged in (*cuts, b"not a model", bytes(rng.integers(0, 256, 3000, dtype=np.uint8))):
            (tmp_path / self.exporter.filename).write_bytes(damaged)
            with pytest.raises(UnderstudyError, match="received ") as caught:
                self.exporter.open(tmp_path, name=NAME)
            assert "\n" not in str(caught.value), ONE_LINE

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        """An empty folder gives one line too."""
        with pytest.raises(UnderstudyError, match="received ") as caught:
            self.exporter.open(tmp_path, name=NAME)
        assert "\n" not in str(caught.value), ONE_LINE

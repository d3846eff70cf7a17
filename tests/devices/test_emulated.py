"""Emulated cores: exact answers, instruction counts that repeat and add up, flash and RAM of a whole firmware."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bundles import make_bundle
from emulators import need, need_microcontrollers, small_board
from image_programs import image_program
from programs import TEXTS, sequence_program, utterance_program
from understudy.bundle import Bundle
from understudy.bundle.vectors import synthetic_images
from understudy.device_measurements import Measurement
from understudy.devices.bench import bench, bundle_examples, own_examples
from understudy.devices.linux import ARCHITECTURES
from understudy.devices.profile import MODEL_STACK_BYTES, device_names, load_profile
from understudy.errors import BudgetError, InputError, SetupError, UnderstudyError, VerificationError
from understudy.program.interpreter import Scores, run
from understudy.program.ops import Program

CORES = [name for name in device_names() if load_profile(name).emulator]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with the C format."""
    return make_bundle(tmp_path_factory.mktemp("a bundle") / "16KB", formats=("c",))


def measure(bundle: Bundle, target: str) -> Measurement:
    (found,) = bench(bundle, [target], examples=bundle_examples(bundle))
    return found


@pytest.mark.parametrize("core", CORES)
def test_every_core_answers_exactly(bundle: Bundle, core: str) -> None:
    need_microcontrollers()
    found = measure(bundle, core)
    assert found.exact
    assert found.examples == 64
    assert found.max_probability_difference < 1e-6
    assert found.format == "c"


def test_a_firmware_is_measured_whole(bundle: Bundle) -> None:
    need_microcontrollers()
    found = measure(bundle, "cortex-m4")
    budget = bundle.manifest.files["model.h"].budget_bytes
    assert budget is not None
    assert found.flash_bytes is not None
    assert found.ram_bytes is not None
    assert found.stack_bytes is not None
    # start-up, vectors and the loop around the model are all that is added to what the budget counts
    assert budget < found.flash_bytes < budget + 1024
    static = re.search(r"#define US_TINY_RAM_BYTES US_EITHER\(\d+, (\d+)\)", (bundle.folder / "model.h").read_text())
    assert static is not None
    text_and_scores = bundle.manifest.max_bytes + 4 * len(bundle.labels)
    assert 0 <= found.ram_bytes - int(static[1]) - text_and_scores - found.stack_bytes < 32
    assert 64 < found.stack_bytes <= MODEL_STACK_BYTES


def test_instructions_repeat_and_add_up(bundle: Bundle) -> None:
    need_microcontrollers()
    first, second = measure(bundle, "cortex-m0"), measure(bundle, "cortex-m0")
    assert first == second
    assert first.instructions is not None
    assert sum(row.instructions for row in first.instruction_table) == first.instructions
    steps = {row.where for row in first.instruction_table}
    assert {"linear tokens", "linear logits", "softmax"} <= steps
    assert all(row.instructions > 0 for row in first.instruction_table)


def test_a_time_of_an_emulated_core_is_an_estimate(bundle: Bundle) -> None:
    need_microcontrollers()
    found = measure(bundle, "cortex-m4")
    assert not found.measured
    assert found.clock_hz == 64_000_000
    assert found.latency_us is not None
    assert found.instructions is not None
    assert found.latency_us.median == pytest.approx(found.instructions / 64, rel=0.1)
    assert "estimate" in found.note


@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m4", "cortex-m55"])
def test_a_file_in_float_runs_where_it_is_named(tmp_path: Path, core: str) -> None:
    need_microcontrollers()
    made = make_bundle(tmp_path / "b", formats=("c", "c_float"))
    examples = bundle_examples(made)
    (found,) = bench(made, [core], examples=examples, formats=("c_float",))
    (in_integers,) = bench(made, [core], examples=examples)
    assert found.exact
    assert found.format == "c_float"
    assert {"real_linear tokens", "real_linear logits"} <= {row.where for row in found.instruction_table}
    assert found.stack_bytes is not None
    assert found.stack_bytes <= MODEL_STACK_BYTES
    assert in_integers.format == "c"


def test_both_c_files_run_where_both_are_named(tmp_path: Path) -> None:
    need_microcontrollers()
    need("aarch64-linux-gnu-gcc", "qemu-aarch64")
    made = make_bundle(tmp_path / "b", formats=("c", "c_float", "onnx"))
    examples = bundle_examples(made)
    found = bench(made, ["cortex-m4", "aarch64"], examples=examples, formats=("c_float", "c"))
    assert [(each.target, each.format, each.exact) for each in found] == [
        (target, name, True) for target in ("cortex-m4", "aarch64") for name in ("c", "c_float")
    ]
    without = make_bundle(tmp_path / "without", formats=("c",))
    with pytest.raises(InputError, match="formats='c', format='c,c_float'; compress with --format c_float$"):
        bench(without, ["cortex-m4"], examples=examples, formats=("c", "c_float"))


@pytest.mark.parametrize(
    ("target", "runs"), [("cortex-m4", "c, c_float"), ("aarch64", "c, c_float"), ("android-mid", "litert")]
)
def test_a_file_that_a_target_cannot_run_is_refused(bundle: Bundle, target: str, runs: str) -> None:
    examples = bundle_examples(bundle)
    for formats in (("onnx",), ("onnx", *runs.split(", "))):
        with pytest.raises(InputError, match=f"^{target} runs files of {runs}: received format='onnx'; name one of these"):
            bench(bundle, [target], examples=examples, formats=formats)


def test_each_target_runs_what_it_can_of_the_named_files(tmp_path: Path) -> None:
    need("aarch64-linux-gnu-gcc", "qemu-aarch64")
    made = make_bundle(tmp_path / "b", formats=("c", "python"))
    examples, failures = bundle_examples(made), list[UnderstudyError]()
    found = bench(made, ["host", "aarch64"], examples=examples, formats=("c", "python"), on_failure=failures.append)
    assert [(each.target, each.format) for each in found] == [("host", "c"), ("host", "python"), ("aarch64", "c")]
    assert failures == []
    (found_here,) = bench(made, ["host", "aarch64"], examples=examples, formats=("python",), on_failure=failures.append)
    assert (found_here.target, found_here.format) == ("host", "python")
    (failure,) = failures
    assert failure.exit_code == 2
    assert str(failure).startswith("aarch64 runs files of c, c_float: received format='python'; name one of these")


def test_a_bundle_in_float_alone_runs(tmp_path: Path) -> None:
    need_microcontrollers()
    need("aarch64-linux-gnu-gcc", "qemu-aarch64")
    made = make_bundle(tmp_path / "b", program=image_program(), formats=("c_float",))
    found = bench(made, ["cortex-m4", "aarch64"], examples=bundle_examples(made))
    assert [(each.format, each.exact) for each in found] == [("c_float", True)] * 2
    budget = made.manifest.files["model_float.h"].budget_bytes
    assert budget is not None
    assert found[0].flash_bytes is not None
    assert budget < found[0].flash_bytes < budget + 1024


@pytest.mark.parametrize("seed", [1, 2])
def test_another_architecture_of_student_runs_too(tmp_path: Path, seed: int) -> None:
    need_microcontrollers()
    made = make_bundle(tmp_path / "b", program=utterance_program(bits=4, per_channel=seed == 1), formats=("c",))
    assert measure(made, "cortex-m0").exact


@pytest.mark.parametrize(
    "architecture", ["aarch64", pytest.param("armhf", marks=pytest.mark.slow), pytest.param("riscv64", marks=pytest.mark.slow)]
)
def test_another_linux_answers_exactly(bundle: Bundle, architecture: str) -> None:
    tools = ARCHITECTURES[architecture]
    need(f"{tools.toolchain}gcc", tools.qemu)
    found = measure(bundle, architecture)
    assert found.exact
    assert not found.measured
    assert found.latency_us is None
    assert found.instructions is not None
    assert sum(row.instructions for row in found.instruction_table) == found.instructions
    assert {"linear logits", "softmax"} <= {row.where for row in found.instruction_table}
    assert measure(bundle, architecture).instruction_table == found.instruction_table


def test_a_board_with_this_processor_has_an_estimate(bundle: Bundle) -> None:
    need("aarch64-linux-gnu-gcc", "qemu-aarch64")
    found = measure(bundle, "raspberry-pi")
    assert found.exact
    assert not found.measured
    assert found.clock_hz == 1_500_000_000


def test_a_wrong_answer_is_found_and_named(bundle: Bundle) -> None:
    need_microcontrollers()
    examples = bundle_examples(bundle)
    logits = examples.reference.logits.copy()
    best = int(logits[5].argmax())
    logits[5, (best + 1) % 7], logits[5, best] = 127, -128
    (found,) = bench(
        bundle, ["cortex-m4"], examples=replace(examples, reference=Scores(logits, examples.reference.probabilities))
    )
    assert not found.exact
    assert [(label.row, label.expected, label.received) for label in found.differing_labels] == [
        (5, bundle.labels[(best + 1) % 7], bundle.labels[best])
    ]


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55"])
@pytest.mark.parametrize("program", [sequence_program(bits=8), utterance_program(bits=4), image_program(bits=4, channels=9)])
def test_two_and_eight_multiplications_at_once_are_exact(tmp_path: Path, core: str, program: Program) -> None:
    need_microcontrollers()
    made = make_bundle(tmp_path / "b", program=program, formats=("c",))
    assert measure(made, core).exact


def test_images_run_on_a_microcontroller(tmp_path: Path) -> None:
    need_microcontrollers()
    program = image_program()
    made = make_bundle(tmp_path / "b", program=program, formats=("c", "onnx"))
    found = measure(made, "cortex-m4")
    assert found.exact
    assert {"convolve stem", "convolve_depthwise spread_one", "linear mixed_one"} <= {
        row.where for row in found.instruction_table
    }
    own = own_examples(made, synthetic_images(made.manifest.image_shape, count=5, seed=1), origin="these")
    (again,) = bench(made, ["cortex-m0"], examples=own)
    assert again.exact
    assert again.examples == 5


def test_own_texts_have_the_reference_answers(tmp_path: Path) -> None:
    need_microcontrollers()
    program = utterance_program()
    made = make_bundle(tmp_path / "b", program=program, formats=("c", "onnx"))
    examples = own_examples(made, TEXTS, origin="these")
    expected = run(program, examples.inputs)
    np.testing.assert_array_equal(examples.reference.logits.argmax(axis=1), expected.logits.argmax(axis=1))
    relative = expected.logits.astype(int) - expected.logits.max(axis=1, keepdims=True)
    visible = expected.probabilities > 1e-30
    recovered = examples.reference.logits.astype(int) - examples.reference.logits.max(axis=1, keepdims=True)
    np.testing.assert_array_equal(recovered[visible], relative[visible])
    (found,) = bench(made, ["cortex-m0"], examples=examples)
    assert found.exact
    assert found.examples == len(TEXTS)


@pytest.mark.parametrize(("flash", "ram", "short"), [(4096, 8192, "FLASH short by"), (65536, 1024, "RAM short by")])
def test_a_firmware_that_does_not_fit_is_refused(bundle: Bundle, tmp_path: Path, flash: int, ram: int, short: str) -> None:
    need_microcontrollers()
    with pytest.raises(BudgetError, match=f"a model fits its device: received target=small .*{short} \\d+ bytes"):
        measure(bundle, small_board(tmp_path, flash=flash, ram=ram))


def test_the_room_for_the_stack_is_checked(bundle: Bundle, tmp_path: Path) -> None:
    need_microcontrollers()
    found = measure(bundle, "cortex-m0")
    assert found.ram_bytes is not None
    assert found.stack_bytes is not None
    with pytest.raises(BudgetError, match="no room for the stack"):
        measure(bundle, small_board(tmp_path, flash=65536, ram=found.ram_bytes - found.stack_bytes + 256))


def test_a_missing_tool_is_one_line(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match=r"running on cortex-m4 needs arm-none-eabi-gcc: .* run: make devices"):
        measure(bundle, "cortex-m4")


@pytest.mark.parametrize(
    ("says", "error", "message"),
    [
        ("qemu: unknown option 'plugin'", SetupError, "counting instructions needs a QEMU with plugins"),
        (
            "qemu: fault",
            VerificationError,
            "a model runs on cortex-m4: received exit_code=1 from qemu-system-arm 'qemu: fault'",
        ),
    ],
)
def test_an_emulator_that_fails_is_one_line(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str, error: type[Exception], message: str
) -> None:
    need_microcontrollers()
    fake = tmp_path / "qemu-system-arm"
    fake.write_text(f'#!/bin/sh\necho "{says}" >&2\nexit 1\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(error, match=message):
        measure(bundle, "cortex-m4")


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (["cortex-m4", "cortex-m4"], "every target is named once"),
        (["toaster"], "a target is one of host"),
        (["esp32-s3"], "which nothing here can run"),
    ],
)
def test_bad_targets_are_refused(bundle: Bundle, targets: list[str], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        bench(bundle, targets, examples=bundle_examples(bundle))


def test_a_bundle_without_c_is_refused(tmp_path: Path) -> None:
    need_microcontrollers()
    made = make_bundle(tmp_path / "b", formats=("onnx",))
    with pytest.raises(
        InputError, match="cortex-m4 runs the C format, c or c_float: .* formats='onnx'; compress with --format c$"
    ):
        measure(made, "cortex-m4")

"""This machine as a target: every file in its own runtime, measured."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bundles import make_bundle
from understudy.bundle import Bundle
from understudy.bundle.vectors import synthetic_images
from understudy.devices.bench import bench, bundle_examples, own_examples
from understudy.devices.host import HostRunner, pinned
from understudy.devices.runner import LeftOutError
from understudy.errors import InputError, SetupError
from understudy.formats import FLOAT_FORMATS
from understudy.program.interpreter import Scores, run
from understudy.testing.token_programs import token_program


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle in all formats."""
    return make_bundle(tmp_path_factory.mktemp("bundle") / "16KB")


def test_every_file_is_measured_and_exact(bundle: Bundle) -> None:
    found = HostRunner(seconds=0.05).run(bundle, bundle_examples(bundle))
    assert {each.format for each in found} == set(bundle.formats)
    for each in found:
        assert each.measured
        assert each.exact
        assert each.clock_hz is None
        assert each.instructions is None
        assert each.latency_us is not None
        assert 0 < each.latency_us.p10 <= each.latency_us.median <= each.latency_us.p90


def test_only_the_formats_that_were_asked_for(bundle: Bundle) -> None:
    runner = HostRunner(("onnx",), seconds=0.02)
    assert [each.format for each in runner.run(bundle, bundle_examples(bundle))] == ["onnx"]


def test_a_format_that_is_not_there_is_refused(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "b", formats=("c",))
    with pytest.raises(InputError, match="a bundle runs in a format that it holds"):
        HostRunner(("onnx",)).check(made)


def test_pinning_is_undone() -> None:
    before = os.sched_getaffinity(0)
    with pinned(1) as is_pinned:
        assert is_pinned
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before


def test_threads_are_measured_beside_a_single_one(bundle: Bundle) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this machine has one core")
    found = HostRunner(threads=2, seconds=0.02).run(bundle, bundle_examples(bundle))
    assert [(each.format, each.threads) for each in found if each.format == "c"] == [("c", 1)]
    assert [each.threads for each in found if each.format == "onnx"] == [1, 2]
    assert [each.threads for each in found if each.format == "litert"] == [1, 2]
    assert all(each.exact for each in found)


def test_files_in_float_are_compared_with_real_numbers(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "b", formats=FLOAT_FORMATS)
    threads = min(2, len(os.sched_getaffinity(0)))
    found = HostRunner(threads=threads, seconds=0.02).run(made, bundle_examples(made))
    assert {each.format for each in found} == set(FLOAT_FORMATS) - {"coreml_float"}, "which is evaluated, not run"
    assert sum(each.threads > 1 for each in found) == 2 * (threads - 1)
    assert all(each.exact and not each.differing_labels for each in found)


def test_a_file_that_no_runtime_here_runs_is_told_and_no_failure(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "b", formats=("c", "coreml"))
    (told,) = HostRunner().check(made)
    assert isinstance(told, LeftOutError)
    assert "a file is timed in its own runtime: received format='coreml'" in str(told)
    (found,) = bench(made, ["host"], examples=bundle_examples(made))
    assert found.format == "c"
    (failure,) = HostRunner(("c", "coreml")).check(made)
    assert not isinstance(failure, LeftOutError)
    with pytest.raises(SetupError, match="received format='coreml'") as caught:
        HostRunner(("coreml",)).check(made)
    assert not isinstance(caught.value, LeftOutError)


def test_own_examples_need_no_file_with_integers(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "b", formats=("onnx_float",))
    examples = own_examples(made, ["turn on the light", "", "what now?"], origin="these")
    np.testing.assert_array_equal(examples.reference.logits, run(made.program(), examples.inputs).logits)
    (found, *_) = HostRunner(seconds=0.02).run(made, examples)
    assert found.exact
    assert found.examples == 3


def test_float_islands_are_held_to_their_own_bound(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "b", program=token_program(), formats=("onnx", "litert"))
    assert made.manifest.image_shape is not None
    examples = own_examples(made, synthetic_images(made.manifest.image_shape, count=3000, seed=3), origin="these")
    for each in HostRunner(seconds=0.02).run(made, examples):
        assert each.exact != each.within_bound
    wrong = replace(examples, reference=Scores(np.roll(examples.reference.logits, 1, axis=1), examples.reference.probabilities))
    assert not any(each.exact or each.within_bound for each in HostRunner(seconds=0.02).run(made, wrong))


def test_more_threads_than_cores_are_refused(bundle: Bundle) -> None:
    with pytest.raises(InputError, match="threads are timed on a core each: received threads=5000"):
        HostRunner(threads=5000).check(bundle)

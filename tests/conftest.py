"""What all tests share: seeds from their own names, the shared data sets, and no skipped test in continuous integration."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TypeVar

import hypothesis
import numpy as np
import pytest

from understudy.devices.browser_onnx import onnxruntime_web
from understudy.errors import SetupError

# no test writes a signing key into the home of whoever runs it; commands that tests start inherit this
os.environ.pop("UNDERSTUDY_SIGNING_KEY", None)
os.environ["UNDERSTUDY_HOME"] = tempfile.mkdtemp(prefix="understudy-home-")
atexit.register(shutil.rmtree, os.environ["UNDERSTUDY_HOME"], ignore_errors=True)

# a shell ignores interrupts on behalf of what it starts with &, and commands that tests interrupt would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"
"""Data sets beside the repository; most machines do not have them."""

EVERY_VECTOR_UNIT = {"test_c_vectors.py", "test_doctor.py", "test_pipeline.py", "test_readme.py"}
"""Modules that see the compiler as users do; C is then compiled for every unit of vectors that the processor may have."""

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

# every run tries the same examples; the tests' own names are the seeds
hypothesis.settings.register_profile("understudy", derandomize=True, deadline=None, max_examples=50)
hypothesis.settings.load_profile("understudy")


def nothing_may_be_skipped() -> bool:
    """In continuous integration with all data at hand a skipped test hides a hole."""
    return os.environ.get("CI") == "true" and SHARED.is_dir()


def onnxruntime_web_is_here() -> bool:
    """Whether ``make onnxruntime-web`` has fetched it."""
    try:
        onnxruntime_web()
    except SetupError:
        return False
    return True


def _failed_instead_of_skipped(report: Report) -> Report:
    if nothing_may_be_skipped() and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = (
            f"no test is skipped with CI=true and {SHARED.name}/ present: received {reason!r}; provide what it lacks"
        )
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _failed_instead_of_skipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _failed_instead_of_skipped((yield))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put modules that run whole jobs first, so that no process ends with a long one while the other has nothing to do.

    Leave out what needs a download that did not succeed: registries fail for reasons that are not ours.
    """
    items.sort(key=lambda item: len(item.path.parts))
    if onnxruntime_web_is_here():
        return
    left_out = [item for item in items if item.get_closest_marker("onnxruntime_web")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(autouse=True, scope="module")
def one_vector_unit(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compile C for one unit of vectors: that takes half the time, and whole commands are run by hundreds of tests."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.name not in EVERY_VECTOR_UNIT:
            patch.setenv("CC", f"{os.environ.get('CC') or 'cc'} -DUS_WIDEST=16")
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with one folder for each public data set."""
    if not SHARED.is_dir():
        pytest.skip("the public data sets are not on this machine: no ../shared")
    return SHARED / "data"


@pytest.fixture(scope="session")
def tiny_csv() -> Path:
    """A small balanced data set with the columns ``text`` and ``label``; see tests/data/make_tiny.py."""
    return REPOSITORY / "tests" / "data" / "tiny.csv"


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A seed that follows from the test's own name."""
    return zlib.crc32(request.node.nodeid.encode())


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    """Random numbers that follow from the test's own name."""
    return np.random.default_rng(seed)

"""From the words behind ``--on`` to measurements: which runner, which examples, and the record that keeps the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from understudy.bundle import Bundle
from understudy.bundle.content import Content, model_inputs
from understudy.device_measurements import Measurement
from understudy.devices.android import AndroidRunner
from understudy.devices.browser import BrowserRunner
from understudy.devices.host import HostRunner
from understudy.devices.linux import ARCHITECTURES, LinuxRunner
from understudy.devices.microcontroller import MicrocontrollerRunner
from understudy.devices.profile import DeviceProfile, device_names, load_profile
from understudy.devices.runner import Examples, LeftOutError, Runner
from understudy.errors import BudgetError, InputError, SetupError, UnderstudyError, VerificationError
from understudy.family import Family, Home
from understudy.program.interpreter import run
from understudy.progress import Progress, SilentProgress

PLAIN_TARGETS = ("host", *ARCHITECTURES)
"""Targets that are no device of ``profiles/``."""
_FAILURES = (SetupError, BudgetError, VerificationError)
"""Why one target is not measured while others are."""


def runner_for(target: str, *, formats: tuple[str, ...] | None = None, threads: int = 1) -> Runner:
    """Return what executes a bundle for ``target``.

    Args:
        target: ``host``, an architecture, the name of a device or the path of a device profile.
        formats: files that it runs, None for all that it can, of the C files one.
        threads: of the host, where a runtime can use several.

    Raises:
        InputError: no such target, or a device that nothing here can run.
    """
    if target == "host":
        return HostRunner(formats, threads)
    if target in ARCHITECTURES:
        return LinuxRunner(target, target, formats=formats)
    if not target.endswith(".toml") and target not in device_names():
        raise InputError(
            f"a target is one of {', '.join(PLAIN_TARGETS)}, {', '.join(device_names())}, or a profile file (.toml): "
            f"received on={target!r}; choose one of them"
        )
    return _device_runner(load_profile(target), formats)


def _device_runner(profile: DeviceProfile, formats: tuple[str, ...] | None) -> Runner:
    if profile.runner == "microcontroller":
        return MicrocontrollerRunner(profile, formats)
    if profile.runner in ARCHITECTURES:
        return LinuxRunner(profile.name, profile.runner, profile.clock.hz if profile.clock else None, formats)
    if profile.runner == "browser":
        return BrowserRunner(formats)
    if profile.runner == "android":
        return AndroidRunner(profile.name)
    raise InputError(
        f"a device that is run has a runner: received on={profile.name!r}, which nothing here can run "
        f"({profile.why_no_runner}); use it with compress --device, and run the files on the device itself"
    )


def bundle_examples(bundle: Bundle) -> Examples:
    """Return the bundle's own synthetic texts or images with the reference's answers.

    Raises:
        BundleError: they are damaged.
    """
    vectors = bundle.vectors()
    return Examples(vectors.inputs, vectors.scores, vectors.logit_scale, "the bundle's synthetic examples")


def own_examples(bundle: Bundle, content: Content, *, origin: str) -> Examples:
    """Return ``content`` with the answers of the program that every file of the bundle was exported from.

    Raises:
        BundleError: the bundle holds no program, or one that does not reproduce its vectors.
    """
    known = bundle_examples(bundle)
    inputs = model_inputs(bundle.manifest, content)
    return Examples(inputs, run(bundle.program(), inputs), known.logit_scale, origin)


def bench(
    bundle: Bundle,
    targets: Sequence[str],
    *,
    examples: Examples,
    formats: tuple[str, ...] | None = None,
    threads: int = 1,
    progress: Progress | None = None,
    on_failure: Callable[[UnderstudyError], None] | None = None,
) -> list[Measurement]:
    """Return the measurements of ``bundle`` on every one of ``targets``.

    Args:
        bundle: what is measured.
        targets: see ``runner_for``.
        examples: what every file is run on.
        formats: files to run, each on those of ``targets`` that can; None for all that a target can, of the C files one.
        threads: of the host, where a runtime can use several.
        progress: is told which target is running.
        on_failure: is told why a target was not measured, and the rest is: it runs none of ``formats``, a tool is missing, the
            model does not fit the device, a program does not compile or run. None raises what is found. A LeftOutError is
            told and no failure: a file that nobody named has no runtime on this system.

    Raises:
        InputError: an unknown target or format, a target named twice, or a format that none of ``targets`` runs.
        SetupError: a tool is missing; this and what follows where ``on_failure`` is None or nothing at all was measured.
        BudgetError: the model does not fit a device.
        VerificationError: a program does not compile or run.
    """
    if len(set(targets)) < len(targets):
        raise InputError(f"every target is named once: received on={', '.join(targets)}; remove the repeated one")
    progress = progress or SilentProgress()
    shares = {target: _share(runner_for(target), formats) for target in targets}
    failures: list[UnderstudyError] = list(_not_run(shares, formats or ()))
    runners = {
        target: runner_for(target, formats=share, threads=threads) for target, share in shares.items() if share is None or share
    }
    left_out: list[LeftOutError] = []
    ready: dict[str, Runner] = {}
    for target, runner in runners.items():
        try:
            for each in runner.check(bundle):
                if isinstance(each, LeftOutError):
                    left_out.append(each)
                else:
                    failures.append(each)
            ready[target] = runner
        except _FAILURES as error:
            failures.append(error)
    if failures and (on_failure is None or not ready):
        raise failures[0]
    measurements: list[Measurement] = []
    for target, runner in ready.items():
        progress.stage(f"running on {target}")
        try:
            measurements += runner.run(bundle, examples)
        except _FAILURES as error:  # as a phone that was unplugged, or a model that does not fit
            if on_failure is None:
                raise
            failures.append(error)
    if failures and not measurements:
        raise failures[0]
    if on_failure is not None:
        for said in (*left_out, *failures):
            on_failure(said)
    return measurements


def _share(runner: Runner, formats: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return those of ``formats`` that ``runner`` runs."""
    if formats is None or runner.runnable is None:
        return formats
    return tuple(name for name in formats if name in runner.runnable)


def _not_run(shares: Mapping[str, tuple[str, ...] | None], formats: Sequence[str]) -> Iterator[InputError]:
    """Yield why a target is left out, which runs none of ``formats``.

    Args:
        shares: target to those of ``formats`` that it runs.
        formats: what was asked for.

    Raises:
        InputError: none of the targets runs one of ``formats``.
    """
    for name in formats:
        if not any(name in (share or ()) for share in shares.values()):
            raise _not_for(list(shares), [name])
    for target, share in shares.items():
        if formats and not share:
            yield _not_for([target], formats)


def _not_for(targets: Sequence[str], formats: Sequence[str]) -> InputError:
    runnable = dict.fromkeys(name for target in targets for name in runner_for(target).runnable or ())
    return InputError(
        f"{', '.join(targets)} {'run' if len(targets) > 1 else 'runs'} files of {', '.join(runnable)}: received "
        f"format={','.join(formats)!r}; name one of these with --format, or leave --format out"
    )


def record(home: Home, measurements: Sequence[Measurement]) -> Family:
    """Add ``measurements`` of a bundle to the record of its family, in place of older ones of the same kind.

    Raises:
        SetupError: the record cannot be written.
    """
    fresh = {(m.target, m.format, m.threads) for m in measurements}
    kept = tuple(m for m in home.member.measurements if (m.target, m.format, m.threads) not in fresh)
    return home.record(home.member.model_copy(update={"measurements": (*kept, *measurements)}))

"""Every error that understudy raises on purpose.

::

    UnderstudyError
    ├── InputError            your input: a file, a column, a job key, a model          exit code 2
    │   └── TeacherError      the code of your teacher failed, its answers so far are kept
    ├── SetupError     your environment: a missing extra, a full disk, a folder  exit code 4
    ├── BudgetError           your budget cannot be met                                 exit code 3
    ├── BundleError           a bundle that is truncated, altered or not a bundle       exit code 5
    └── VerificationError     our bug: an exported file disagrees with the reference    exit code 6

Make a new class only when a caller would act differently on it.
A message is one line with three parts: the rule, what was received as ``name=value``, the next step.
"""

from __future__ import annotations


class UnderstudyError(Exception):
    """The root: everything a user may see without a traceback."""

    exit_code = 1


class InputError(UnderstudyError):
    """Something the user handed over breaks a rule."""

    exit_code = 2


class TeacherError(InputError):
    """The code of a teacher failed while it was asked; a job keeps what it has answered before."""


class BudgetError(UnderstudyError):
    """No requested budget can be met; the message names the smallest reachable size."""

    exit_code = 3


class SetupError(UnderstudyError):
    """The machine lacks something: an optional package, a compiler, disk space, a permission."""

    exit_code = 4


class BundleError(UnderstudyError):
    """A bundle does not match its manifest."""

    exit_code = 5


class VerificationError(UnderstudyError):
    """An exported file does not reproduce the reference; it is never handed over."""

    exit_code = 6


def missing_extra(*, purpose: str, extra: str) -> SetupError:
    """Return the error for an optional dependency that is not installed.

    Args:
        purpose: what the user wanted, as a gerund ("exporting to onnx").
        extra: name of the extra in ``pyproject.toml``.
    """
    return SetupError(
        f"{purpose} needs the {extra!r} extra: received extra={extra!r} not installed; run: pip install 'understudy[{extra}]'"
    )


def missing_package(*, purpose: str, package: str) -> SetupError:
    """Return the error for a package that every installation has, and this one lacks.

    Args:
        purpose: what the user wanted, as a gerund ("training a student").
        package: its name on the package index.
    """
    return SetupError(f"{purpose} needs {package}: received package={package!r} not installed; run: pip install {package}")

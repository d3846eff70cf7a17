"""Teachers that are Python code: a function, or a name that leads to one. This runs the user's code, on purpose."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from understudy.errors import InputError
from understudy.teachers.class_order import names_of
from understudy.teachers.model_file import are_probabilities, log_probabilities
from understudy.teachers.protocol import (
    LOADS,
    PROBE_TEXTS,
    BoolArray,
    ExampleArray,
    Float32Array,
    Teacher,
    as_array,
    behaviour_digest,
    users_code,
)


@dataclass(eq=False)
class CallableTeacher:
    """A function from a list of texts, images or vectors (see ``protocol.Teacher``) to logits ``[N, classes]``.

    It may return an array, a tensor or nested lists, of logits or of probabilities, which its first answers tell apart.
    Its digest is made from its answers to ``probes``, because a function does not tell what it depends on.
    """

    function: Callable[[Any], Any]
    name: str
    class_names: tuple[str, ...] | None = None
    probes: Sequence[str] | ExampleArray = PROBE_TEXTS
    gives_probabilities: bool | None = field(default=None, init=False)

    @property
    def digest(self) -> str:
        """Digest of the name and of the answers to the probes."""
        return behaviour_digest(self.logits(self.probes), self.name.encode())

    def describe(self) -> str:
        """Return one line about the function."""
        probabilities = ", probabilities, used as logarithms" if self.gives_probabilities else ""
        return f"Python function {self.name}, your own code{probabilities}"

    def covers(self, examples: Sequence[str] | ExampleArray, /) -> BoolArray:
        """Return all True."""
        return np.ones(len(examples), np.bool_)

    def logits(self, examples: Sequence[str] | ExampleArray, /) -> Float32Array:
        """Return what the function returns, as float32; of probabilities the logarithm."""
        with users_code(self.name):
            # a copy: what the user's code does to its argument is no matter
            answer = self.function(examples.copy() if isinstance(examples, np.ndarray) else list(examples))
        found = as_array(answer, name=self.name)
        if self.gives_probabilities is None and found.size:
            # what has another shape is refused where answers are checked
            self.gives_probabilities = found.ndim == 2 and found.shape[1] > 1 and are_probabilities(found)
        return log_probabilities(found) if self.gives_probabilities else found


@dataclass(frozen=True)
class OwnTeacher:
    """A user's object with all parts of a ``protocol.Teacher``: what its code raises is the user's error.

    Attributes:
        source: the object.
        name: as the object says it.
    """

    source: Teacher[Any]
    name: str

    @property
    def digest(self) -> str:
        """Digest that the object gives."""
        with users_code(self.name):
            return self.source.digest

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names that the object gives."""
        with users_code(self.name):
            names = self.source.class_names
            return None if names is None else tuple(str(name) for name in names)

    @property
    def size_bytes(self) -> int | None:
        """Bytes that the object says it has, None where it does not."""
        with users_code(self.name):
            return getattr(self.source, "size_bytes", None)

    def describe(self) -> str:
        """Return the object's line."""
        with users_code(self.name):
            return self.source.describe()

    def covers(self, examples: Sequence[str] | ExampleArray, /) -> BoolArray:
        """Return what the object covers.

        Raises:
            InputError: the object's code fails, or does not say so of each example.
        """
        with users_code(self.name):
            covered = np.asarray(self.source.covers(examples))
        if covered.shape != (len(examples),) or covered.dtype != np.bool_:
            raise InputError(
                f"a teacher's covers says true or false of each example: received dtype={covered.dtype} and "
                f"shape={covered.shape} for examples={len(examples)} from teacher={self.name!r}; return one bool for each"
            )
        return covered

    def logits(self, examples: Sequence[str] | ExampleArray, /) -> Float32Array:
        """Return what the object answers, as float32."""
        with users_code(self.name):
            answer = self.source.logits(examples)
        return as_array(answer, name=self.name)


def own_teacher(source: Any) -> OwnTeacher | None:
    """Return the teacher that the user's object ``source`` is, None where it has not all parts of a ``Teacher``.

    Raises:
        InputError: one of its properties raises.
    """
    with users_code(object_name(source), rule=LOADS):
        if not all(hasattr(source, part) for part in ("name", "digest", "class_names", "describe", "covers", "logits")):
            return None
        return OwnTeacher(source, str(source.name))


def object_name(source: Any) -> str:
    """Return ``module:name`` of a function or class, of anything else that of its class."""
    named = source if getattr(source, "__qualname__", None) and getattr(source, "__module__", None) else type(source)
    return f"{named.__module__}:{named.__qualname__}"


def function_of(source: Any) -> Callable[[Any], Any] | None:
    """Return what gives logits in the user's ``source``, None where nothing does.

    That is its method ``logits``, or the logarithm of what ``predict_proba`` gives, as models of scikit-learn have it, or the
    function itself.
    """
    if callable(getattr(source, "logits", None)):
        return cast("Callable[[Any], Any]", source.logits)
    if callable(getattr(source, "predict_proba", None)):
        return lambda examples: log_probabilities(as_array(source.predict_proba(examples), name=object_name(source)))
    return source if callable(source) else None


def callable_teacher(function: Callable[[list[str]], Any], *, name: str | None = None) -> CallableTeacher:
    """Return the teacher that calls ``function``; its attribute ``class_names`` or ``labels`` names the columns."""
    own_name = name or getattr(function, "__qualname__", None) or type(function).__name__
    return CallableTeacher(function, own_name, names_of(function))


def is_python_name(source: str) -> bool:
    """Return whether ``source`` has the form ``package.module:object`` or ``folder/file.py:object``."""
    module, colon, attribute = source.rpartition(":")
    named = module.endswith(".py") or all(part.isidentifier() for part in module.split("."))
    return bool(colon) and attribute.isidentifier() and named


def import_object(source: str) -> Any:
    """Import and return the object that ``module:name`` or ``file.py:name`` names; this runs the module's code.

    Raises:
        InputError: no such module, file or name, the module cannot be imported, or its code fails.
    """
    place, _, attribute = source.rpartition(":")
    with users_code(source, rule=LOADS):
        try:
            module = _import_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
        except (ImportError, SyntaxError, OSError) as error:
            file = f"{place}.py"
            step = f"did you mean {file}:{attribute}?" if Path(file).is_file() else "correct the name or the module"
            raise InputError(
                f"a Python teacher is module:name or file.py:name: received teacher={source!r}, whose module cannot be "
                f"imported ({type(error).__name__}: {error}); {step}"
            ) from error
        if not hasattr(module, attribute):
            raise InputError(
                f"a Python teacher is module:name or file.py:name: received teacher={source!r}, and its module has no "
                f"name {attribute!r}; name a function of the module"
            )
        return getattr(module, attribute)


def _import_file(path: Path) -> Any:
    """Import ``path`` under a name of its own; modules beside it can be imported by it, as in ``python file.py``."""
    folder = str(path.resolve().parent)
    spec = importlib.util.spec_from_file_location(f"understudy_teacher_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"no file {str(path)!r}")
    module = importlib.util.module_from_spec(spec)
    # Registered before execution, as the import system does: dataclasses and pickles look their module up.
    sys.modules[spec.name] = module
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        spec.loader.exec_module(module)
    except BaseException:  # half a module must not be found by who imports it next, as in the import system
        del sys.modules[spec.name]
        raise
    return module

"""Python code as teacher: it is run on purpose, and only when it was named."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

import understudy
from understudy.errors import InputError
from understudy.projections.log_mel import LogMel
from understudy.teachers.callable import is_python_name, object_name
from understudy.teachers.image_registry import load_image_teacher
from understudy.teachers.loaded import load_teacher
from understudy.teachers.registry import load_text_teacher
from understudy.teachers.sound_registry import load_sound_teacher
from understudy.teachers.vector_registry import load_vector_teacher

SOURCE = """
    import numpy as np
    from beside import OFFSET

    def answer(texts):
        return np.array([[len(t) + OFFSET, 0.0] for t in texts])

    answer.class_names = ("long", "empty")

    def load():
        return answer

    class Model:
        name = "model"
        labels = ["long", "empty"]

        def logits(self, texts):
            return answer(texts)

    model = Model()
    number = 5

    def broken(texts):
        return np.full((len(texts), 2), np.nan)
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
    (tmp_path / "beside.py").write_text("OFFSET = 100\n")
    path = tmp_path / "my_model.py"
    path.write_text(textwrap.dedent(SOURCE))
    return path


@pytest.mark.parametrize("name", ["answer", "load", "model"])
def test_functions_loaders_and_objects_of_a_file(source: Path, name: str) -> None:
    teacher = load_text_teacher(f"{source}:{name}", class_names=("empty", "long"))
    assert teacher.logits(["", "abc"]).tolist() == [[0, 100], [0, 103]]
    assert teacher.covers(["", "abc"]).tolist() == [True, True]
    assert teacher.describe().startswith(f"Python function {source}:{name}, your own code")


def test_a_file_that_was_named_as_a_module_is_pointed_to(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source.rename(source.with_name("beside_us.py"))  # a name that nothing imported before
    monkeypatch.chdir(source.parent)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])  # as the installed command has it
    with pytest.raises(InputError, match=r"No module named 'beside_us'\); did you mean beside_us\.py:answer\?$"):
        load_text_teacher("beside_us:answer", class_names=("a", "b"))


def test_a_module_by_its_name() -> None:
    teacher = load_text_teacher("operator:length_hint", class_names=("a", "b"))
    assert teacher.name == "operator:length_hint"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{file}:missing", r"module:name or file\.py:name: received .* no name 'missing'; name a function"),
        ("{file}:number", r"a function from texts to logits.*received type='int'; wrap it in a function"),
        ("{folder}/absent.py:load", r"cannot be imported \(FileNotFoundError: no file .*\); correct"),
        ("no_such_module_here:load", r"cannot be imported \(ModuleNotFoundError"),
        ("{folder}/wrong.py:load", r"cannot be imported \(SyntaxError"),
    ],
)
def test_names_that_lead_nowhere(source: Path, name: str, message: str) -> None:
    (source.parent / "wrong.py").write_text("def load(:\n")
    with pytest.raises(InputError, match=message):
        load_text_teacher(name.format(file=source, folder=source.parent), class_names=("a", "b"))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("package.module:load", True),
        ("folder/my-model.py:load", True),
        ("model.onnx", False),
        ("my_model.py", False),
        ("dir/module:load", False),
        ("module:not-a-name", False),
        (":load", False),
    ],
)
def test_which_names_are_python(source: str, *, expected: bool) -> None:
    assert is_python_name(source) is expected


def test_a_function_object_and_its_digest() -> None:
    def one(texts: list[str]) -> Any:
        return [[len(t), 1.0] for t in texts]

    def two(texts: list[str]) -> Any:
        return [[len(t), 2.0] for t in texts]

    teacher = load_text_teacher(one, class_names=("a", "b"))
    assert teacher.name.endswith("one")
    assert teacher.logits(["xyz"]).tolist() == [[3, 1]]
    digests = [load_text_teacher(function, class_names=("a", "b")).digest for function in (one, one, two)]
    assert digests[0] == digests[1] != digests[2]


def test_an_error_in_the_users_code_is_told_with_its_place_and_kept_as_the_cause() -> None:
    def failing(texts: list[str]) -> Any:
        raise ZeroDivisionError(f"{len(texts)} texts")

    message = r"received teacher='.*failing', whose code raised ZeroDivisionError: 1 texts \(test_callable.py, line \d+\)"
    with pytest.raises(InputError, match=message) as caught:
        load_text_teacher(failing, class_names=("a", "b")).logits(["x"])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_complete_teacher_is_taken_as_it_is() -> None:
    inner = load_text_teacher(lambda texts: np.zeros((len(texts), 2)), class_names=("a", "b"))
    assert load_text_teacher(inner, class_names=("b", "a")).columns == (1, 0)


FAILING = """
import sys

import torch

def load():
    raise RuntimeError("weights not found")

def load_file():
    return torch.load("absent.pt")

class Model:
    def __init__(self):
        raise RuntimeError("no memory for weights")

class Property:
    @property
    def logits(self):
        raise RuntimeError("not ready")

model = Property()

def load_model():
    return Property()

def leave():
    sys.exit(3)

def stop():
    raise KeyboardInterrupt
"""
RAISED = {
    "failing:load": "RuntimeError: weights not found (failing.py, line 7)",
    "failing:load_file": "FileNotFoundError: [Errno 2] No such file or directory: 'absent.pt' (failing.py, line 10)",
    "failing:Model": "RuntimeError: no memory for weights (failing.py, line 14)",
    "failing:model": "RuntimeError: not ready (failing.py, line 19)",
    "failing:load_model": "RuntimeError: not ready (failing.py, line 19)",
    "failing:leave": "SystemExit: 3 (failing.py, line 27)",
    "broken:x": "ZeroDivisionError: division by zero (broken.py, line 1)",
    "leaving:x": "SystemExit: 4 (leaving.py, line 2)",
}


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.path", ["", *sys.path])
    (tmp_path / "failing.py").write_text(FAILING)
    (tmp_path / "broken.py").write_text("x = 1 / 0\n")
    (tmp_path / "leaving.py").write_text("import sys\nsys.exit(4)\n")
    return tmp_path


def load_as(kind: str, source: Any) -> Any:
    """Load ``source`` as the teacher of a kind of data; it fails before the data are looked at."""
    names, labels = ("a", "b"), np.zeros(2, np.int64)

    def all_of_them() -> Any:
        raise AssertionError

    if kind == "text":
        return load_text_teacher(source, class_names=names)
    if kind == "image":
        images = np.zeros((2, 8, 8, 1), np.uint8)
        given = {"images": images, "labels": labels, "numbered": False, "training_images": all_of_them}
        return load_image_teacher(source, class_names=names, **given)
    if kind == "vector":
        vectors = np.zeros((2, 3), np.float32)
        return load_vector_teacher(source, class_names=names, vectors=vectors, numbered=False, training_vectors=all_of_them)
    if kind == "sound":
        sounds, log_mel = np.zeros((2, 2048), np.int16), LogMel(2048, 8000)
        given = {"sounds": sounds, "labels": labels, "log_mel": log_mel, "training_sounds": all_of_them}
        return load_sound_teacher(source, class_names=names, **given)
    return load_teacher(source)


@pytest.mark.parametrize("kind", ["text", "image", "vector", "sound", "no job"])
@pytest.mark.parametrize("name", list(RAISED))
def test_code_that_fails_while_it_loads_is_told_with_its_place(failing: Path, kind: str, name: str) -> None:
    module, _, attribute = name.partition(":")
    source = f"{failing / module}.py:{attribute}"
    with pytest.raises(InputError) as caught:
        load_as(kind, source)
    assert str(caught.value) == (
        f"a teacher's own code must load without an error: received teacher={source!r}, whose code raised {RAISED[name]}; "
        "correct it"
    )
    assert caught.value.__cause__ is not None


def test_a_module_that_failed_is_not_found_half_made(failing: Path) -> None:
    with pytest.raises(InputError):
        load_text_teacher(f"{failing / 'broken.py'}:x", class_names=("a", "b"))
    assert "understudy_teacher_broken" not in sys.modules


def test_an_object_whose_property_fails() -> None:
    class Model:
        @property
        def labels(self) -> Any:
            raise RuntimeError("not ready")

        def logits(self, texts: list[str]) -> Any:
            return [[0.0, 1.0] for _ in texts]

    with pytest.raises(InputError, match=r"received teacher='.*Model', whose code raised RuntimeError: not ready \(test_call"):
        load_text_teacher(Model(), class_names=("a", "b"))


class Complete:
    """All parts of a teacher."""

    name = "whole"
    digest = "0" * 64
    class_names = ("a", "b")

    def describe(self) -> str:
        return "mine"

    def covers(self, texts: list[str]) -> Any:
        return np.ones(len(texts), np.bool_)

    def logits(self, texts: list[str]) -> Any:
        return [[float(len(text)), 0.0] for text in texts]


def ask_everything(source: Any) -> tuple[Any, str]:
    teacher = load_text_teacher(source, class_names=("a", "b"))
    assert teacher.covers(["x"]).all()
    assert teacher.describe().startswith("mine")
    return teacher.logits(["x"]), teacher.digest


@pytest.mark.parametrize("part", ["digest", "describe", "covers", "logits"])
def test_a_whole_teacher_of_ones_own_that_fails(part: str) -> None:
    class Failing(Complete):
        def fail(self, *_: Any) -> Any:
            raise ZeroDivisionError("mine")

        digest = property(fail) if part == "digest" else Complete.digest  # type: ignore[assignment]
        describe = fail if part == "describe" else Complete.describe
        covers = fail if part == "covers" else Complete.covers
        logits = fail if part == "logits" else Complete.logits

    error = r"received teacher='(whole|.*Failing)', whose code raised ZeroDivisionError: mine \(test_callable\.py, line \d+\)"
    with pytest.raises(InputError, match=error):
        ask_everything(Failing())


def test_a_whole_teacher_of_ones_own() -> None:
    logits, digest = ask_everything(Complete())
    np.testing.assert_array_equal(logits, [[1, 0]])
    assert digest


def test_code_that_ends_the_process_while_it_answers() -> None:
    def leaving(texts: list[str]) -> Any:
        sys.exit(len(texts))

    teacher = load_text_teacher(leaving, class_names=("a", "b"))
    with pytest.raises(InputError, match=r"whose code raised SystemExit: 1 \(test_callable\.py, line \d+\); correct it"):
        teacher.logits(["x"])


def test_an_interruption_stays_one(failing: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        load_text_teacher(f"{failing / 'failing.py'}:stop", class_names=("a", "b"))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("answer", [np.ones((1, 2), np.complex64), torch.ones((1, 2), dtype=torch.complex64), [[1j, 2.0]]])
def test_complex_answers_are_refused(answer: Any) -> None:
    teacher = load_text_teacher(lambda _: answer, class_names=("a", "b"))
    with pytest.raises(InputError, match=r"^a teacher's logits are real numbers: received dtype='complex\d+' from teacher="):
        teacher.logits(["x"])


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (load_as, f"{__name__}:load_as"),
        (Path, "pathlib:Path"),
        (Path(), f"{type(Path()).__module__}:{type(Path()).__qualname__}"),
        (len, "builtins:len"),
        (lambda texts: texts, f"{__name__}:<lambda>"),
    ],
)
def test_the_name_of_an_object(source: Any, name: str) -> None:
    assert object_name(source) == name


def test_one_text_without_a_list_is_refused() -> None:
    teacher = understudy.load_teacher(lambda texts: np.array([[len(text), 0.0] for text in texts]))
    np.testing.assert_array_equal(teacher.predict(["four"]), [[4, 0]])
    with pytest.raises(InputError, match="texts come as a list, also a single one: received texts='four'; put it"):
        teacher.predict("four")


def test_a_model_of_scikit_learn_for_texts_and_for_numbers() -> None:
    texts = ["go left", "turn left", "to the left", "go right", "turn right", "right now"]
    labels = ["left"] * 3 + ["right"] * 3
    of_texts = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, labels)
    teacher = load_text_teacher(of_texts, class_names=("right", "left"))
    np.testing.assert_allclose(np.exp(teacher.logits(texts)), of_texts.predict_proba(texts)[:, ::-1], atol=1e-6)
    assert teacher.describe().startswith("Python function Pipeline, your own code")
    numbers = np.random.default_rng(1).normal(size=(60, 3)).astype(np.float32)
    forest = DecisionTreeClassifier(random_state=1).fit(numbers, (numbers[:, 0] > 0) + 3)
    found = load_vector_teacher(
        forest, class_names=("3", "4"), vectors=numbers, numbered=True, training_vectors=lambda: numbers
    ).logits(numbers)
    assert np.isfinite(found).all(), "a tree is sure, and says 0"
    assert found.min() == pytest.approx(np.log(1e-9))
    assert (found.argmax(axis=1) == (numbers[:, 0] > 0)).all()


def test_probabilities_of_a_function_are_used_as_logarithms() -> None:
    def answer(texts: list[str]) -> list[list[float]]:
        return [[0.25, 0.75] if "a" in text else [1.0, 0.0] for text in texts]

    teacher = load_text_teacher(answer, class_names=("no", "yes"))
    found = teacher.logits(["a", "b"])
    np.testing.assert_allclose(found[0], np.log([0.25, 0.75]), rtol=1e-6)
    assert found[1, 0] == 0
    assert -30 < found[1, 1] < -15
    assert "your own code, probabilities, used as logarithms;" in teacher.describe()


def test_logits_of_a_function_stay_what_they_are() -> None:
    teacher = load_text_teacher(lambda texts: [[0.25, 0.7 + len(text)] for text in texts], class_names=("no", "yes"))
    np.testing.assert_allclose(teacher.logits(["ab"]), [[0.25, 2.7]], rtol=1e-6)
    assert "probabilities" not in teacher.describe()


class Own:
    """A user's whole teacher that returns what is natural in Python."""

    name, digest, class_names = "own", "1", (1, 0)

    def __init__(self, covered: Any) -> None:
        self.covered = covered

    def describe(self) -> str:
        return "mine"

    def covers(self, texts: list[str]) -> Any:
        return self.covered[: len(texts)]

    def logits(self, texts: list[str]) -> list[list[float]]:
        return [[float(len(text)), 0.0] for text in texts]


def test_a_teacher_of_ones_own_may_give_lists() -> None:
    teacher = load_text_teacher(Own([True, False]), class_names=("0", "1"))
    assert teacher.covers(["a", "b"]).tolist() == [True, False]
    np.testing.assert_array_equal(teacher.logits(["abc"]), [[0, 3]])
    with pytest.raises(InputError, match=r"covers says true or false of each example: received dtype=int64 and shape=\(1,\)"):
        load_text_teacher(Own([3]), class_names=("0", "1")).covers(["a", "b"])
    with pytest.raises(InputError, match=r"received dtype=bool and shape=\(1,\) for examples=2 from teacher='own'"):
        load_text_teacher(Own([True]), class_names=("0", "1")).covers(["a", "b"])


def test_texts_in_an_array_are_texts() -> None:
    teacher = understudy.load_teacher(lambda texts: np.array([[len(text), 0.0] for text in texts]))
    for texts in (np.array(["four", "to"]), np.array(["four", "to"], dtype=object)):
        np.testing.assert_array_equal(teacher.predict(texts), [[4, 0], [2, 0]])

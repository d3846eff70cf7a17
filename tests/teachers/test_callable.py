"""Python code as teacher: it is run on purpose, and only when it was named."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import understudy
from understudy.errors import InputError
from understudy.teachers.callable import is_python_name
from understudy.teachers.registry import load_text_teacher

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


def test_one_text_without_a_list_is_refused() -> None:
    teacher = understudy.load_teacher(lambda texts: np.array([[len(text), 0.0] for text in texts]))
    np.testing.assert_array_equal(teacher.predict(["four"]), [[4, 0]])
    with pytest.raises(InputError, match="texts come as a list, also a single one: received texts='four'; put it"):
        teacher.predict("four")

"""Every answer of a teacher is checked, and its columns follow the data's classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from understudy.errors import InputError
from understudy.teachers.callable import callable_teacher
from understudy.teachers.class_order import in_class_order, names_beside
from understudy.teachers.protocol import checked_logits

TEXTS = ("a", "bb", "ccc")


def teacher(answer: Any) -> Any:
    return callable_teacher(lambda _texts: answer, name="t")


def by_length(texts: Sequence[str]) -> np.ndarray:
    return np.array([[len(text), 10.0, -len(text)] for text in texts])


def test_good_answers_become_float32() -> None:
    values = checked_logits(callable_teacher(by_length), TEXTS, 3)
    assert values.dtype == np.float32
    assert values.tolist() == [[1, 10, -1], [2, 10, -2], [3, 10, -3]]


def test_tensors_with_gradients_and_lists_are_answers_too() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.ones(3, 2, requires_grad=True, dtype=torch.bfloat16)
    assert checked_logits(teacher(tensor), TEXTS, 2).tolist() == [[1, 1]] * 3
    assert checked_logits(teacher([[1, 2]] * 3), TEXTS, 2).tolist() == [[1, 2]] * 3


def test_no_texts_need_no_teacher() -> None:
    assert checked_logits(teacher(None), (), 7).shape == (0, 7)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.zeros((2, 3)), r"one row of logits for each text: received shape=\(2, 3\) for texts=3 from teacher='t'; return"),
        (np.zeros(3), r"received shape=\(3,\) for texts=3"),
        (np.zeros((3, 4)), r"one column of logits for each class of the data: received columns=4 for classes=3 .*; use a"),
        (
            [[1, 2], [3], [4]],
            r"returns numbers, one row of logits for each example: received type='list' from teacher='t'; return",
        ),
        ("abc", r"received type='str'"),
    ],
)
def test_wrong_shapes_are_named(answer: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        checked_logits(teacher(answer), TEXTS, 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_values_that_are_not_finite_are_refused_with_their_place(bad: float) -> None:
    answer = np.zeros((3, 3))
    answer[1, 2] = answer[2, 0] = bad
    with pytest.raises(InputError, match=r"finite numbers: received logits\[1, 2\]=(nan|-?inf) \(and 1 more\).*repair"):
        checked_logits(teacher(answer), TEXTS, 3)


class Named:
    name = "named"
    class_names = ("z", "a", "m")

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        return np.tile(np.array([26.0, 1.0, 13.0]), (len(texts), 1))


def named(names: Sequence[str] | None) -> Any:
    source = callable_teacher(Named().logits, name="named")
    return type(source)(source.function, source.name, None if names is None else tuple(names))


def test_named_columns_are_put_in_the_datas_order() -> None:
    ordered = in_class_order(named(("z", "a", "m")), ("m", "a", "z"))
    assert ordered.logits(["x"]).tolist() == [[13, 1, 26]]
    assert ordered.describe().endswith("columns named by the teacher")


def test_columns_without_names_are_in_sorted_order_and_it_is_said() -> None:
    ordered = in_class_order(named(None), ("m", "a", "z"))
    assert ordered.logits(["x"]).tolist() == [[1, 26, 13]]  # sorted: a, m, z
    assert "assumed to be in the sorted order of the class names" in ordered.describe()


def test_the_order_is_part_of_the_digest() -> None:
    digests = {in_class_order(named(names), ("a", "m", "z")).digest for names in (("z", "a", "m"), ("a", "z", "m"), None)}
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a", "b", "c"), r"class names are those of the data, each once: received class_names without 'm' .*correct"),
        (("a", "m"), r"one column of logits for each class of the data: received columns=2 for classes=3"),
        (("a", "m", "z", "z"), r"received columns=4 for classes=3"),
    ],
)
def test_other_class_names_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        in_class_order(named(names), ("a", "m", "z"))


def test_numbers_as_names_are_ambiguous_only_from_ten_on() -> None:
    assert in_class_order(named(None), ("0", "1", "2")).columns == (0, 1, 2)
    with pytest.raises(InputError, match=r"no single sorted order: received class_names=0, 1, 10, 2\.\.\. .*give"):
        in_class_order(named(None), [str(i) for i in range(11)])


def test_a_wrong_number_of_columns_is_not_hidden_by_the_order() -> None:
    with pytest.raises(InputError, match="received columns=3 for classes=2"):
        checked_logits(in_class_order(named(None), ("a", "b")), ["x"], 2)


def test_labels_beside_a_file(tmp_path: Any) -> None:
    model = tmp_path / "m.onnx"
    assert names_beside(model) is None
    (tmp_path / "labels.txt").write_bytes("spät\r\ntwo words \n".encode())
    assert names_beside(model) == ("spät", "two words ")
    (tmp_path / "labels.txt").write_bytes(b"a\nb\xff\n")
    with pytest.raises(InputError, match=r"UTF-8 text, one class name a line: received byte=0xff at offset=3 .*save it"):
        names_beside(model)


def test_escaped_labels_of_a_bundle_are_understood() -> None:
    ordered = in_class_order(named((r"a\nb", r"back\\slash", "plain")), ("a\nb", "back\\slash", "plain"))
    assert ordered.columns == (0, 1, 2)
    assert in_class_order(named((r"a\nb", "c", "d")), (r"a\nb", "c", "d")).columns == (0, 1, 2)


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfcat\ndog\n", b"cat\r\ndog\r\n\r\n", b"cat\ndog\n\n"])
def test_labels_beside_a_file_may_begin_with_a_mark_and_end_with_blank_lines(content: bytes, tmp_path: Any) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    assert names_beside(tmp_path / "m.onnx") == ("cat", "dog")

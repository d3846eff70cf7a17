"""Torch modules as teachers, and torch files that are read without running code from them."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import understudy
from understudy.errors import InputError
from understudy.projections.text import encode
from understudy.teachers.protocol import checked_logits
from understudy.teachers.registry import load_text_teacher
from understudy.teachers.torch import differentiable_logits, evaluating, load_weights, torch_teacher, trainable_module
from understudy.training.trainer import check_trainable

CLASSES = ("a", "b", "c")
LENGTH = 16
TEXTS = ("hello", "wörld", "", "\udcff" * 40)


class Network(torch.nn.Module):
    """Uses what exported programs are made of: shapes of the batch, constants, several outputs, dropout, layer norm."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.embedding = torch.nn.Embedding(256, 8)
        self.norm = torch.nn.LayerNorm(8)
        self.dropout = torch.nn.Dropout(0.5)
        self.dense = torch.nn.Linear(8, 3)
        self.register_buffer("offset", torch.arange(4.0))

    def forward(self, byte_ids: torch.Tensor) -> torch.Tensor:
        mask = (byte_ids > 0).unsqueeze(-1).float()
        mean = (self.embedding(byte_ids.int()) * mask).sum(1) / mask.sum(1).clamp(min=1)
        hidden = self.norm(mean).view(byte_ids.shape[0], -1) * 1.5 + self.offset.sum() + torch.tensor([2.0])
        first, second = torch.split(self.dropout(hidden), 4, dim=1)
        return self.dense(torch.nn.functional.gelu(torch.cat([second, first], 1)))


def bytes_of(texts: Any) -> torch.Tensor:
    return torch.from_numpy(encode(texts, max_bytes=LENGTH))


def answers(network: torch.nn.Module) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(network.eval()(bytes_of(TEXTS)))


class ByteNetwork(Network):
    max_bytes = LENGTH
    class_names = ("c", "b", "a")


class ListNetwork(Network):
    def forward(self, texts: Any) -> Any:
        return {"logits": super().forward(bytes_of(texts))}


class PreparedNetwork(Network):
    def prepare(self, texts: list[str]) -> dict[str, torch.Tensor]:
        return {"byte_ids": bytes_of(texts)}


@pytest.mark.parametrize(
    ("network", "note"),
    [
        (ByteNetwork, "int32 bytes [any, 16]"),
        (ListNetwork, "a list of texts"),
        (PreparedNetwork, "made by your prepare()"),
    ],
)
def test_three_ways_to_take_texts(network: Callable[[], Network], note: str) -> None:
    module = network()
    module.train()
    teacher = load_text_teacher(module, class_names=CLASSES)
    found = checked_logits(teacher, TEXTS, 3)
    assert module.training, "the module's own mode is put back"
    module.eval()
    columns = [2, 1, 0] if network is ByteNetwork else [0, 1, 2]
    np.testing.assert_allclose(found, answers(Network())[:, columns], rtol=1e-5)
    assert note in teacher.describe()
    assert f"torch module {network.__name__} with 2,091 parameters" in teacher.describe()


def test_every_part_is_evaluated_and_gets_its_own_mode_back() -> None:
    module = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Dropout()))
    module.eval()
    module[1][0].train()
    with evaluating(module):
        assert not any(each.training for each in module.modules())
    assert [each.training for each in module.modules()] == [False, False, False, True, False]
    module.train()
    module[1].eval()
    with evaluating(module):
        assert not any(each.training for each in module.modules())
    assert [each.training for each in module.modules()] == [True, True, False, False, False]


def test_a_prepare_function_may_give_several_arguments() -> None:
    class Pair(torch.nn.Module):
        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            return left + right

    teacher = torch_teacher(Pair(), prepare=lambda texts: (torch.ones(len(texts), 2), torch.ones(len(texts), 2)))
    assert teacher.logits(["x"]).tolist() == [[2, 2]]


class Tokenizer:
    """Takes what a tokenizer of transformers takes, and gives as much as one."""

    model_max_length = 10**30

    def __call__(
        self, texts: list[str], *, padding: bool, truncation: bool, max_length: int | None, return_tensors: str
    ) -> dict[str, torch.Tensor]:
        assert padding
        assert truncation == (max_length is not None)
        assert return_tensors == "pt"
        encoded = [list(text.encode())[:max_length] for text in texts]  # raises where a byte of no UTF-8 is left
        longest = max(map(len, encoded))
        return {"byte_ids": torch.tensor([ids + [0] * (longest - len(ids)) for ids in encoded]).reshape(len(texts), -1)}


class Classifier(Network):
    """Answers as the models of transformers do."""

    config = SimpleNamespace(id2label={0: "c", 2: "a", 1: "b"}, max_position_embeddings=LENGTH)

    def forward(self, byte_ids: torch.Tensor) -> Any:
        return SimpleNamespace(logits=super().forward(byte_ids))


def test_a_pipeline_of_transformers() -> None:
    pipeline = SimpleNamespace(model=Classifier(), tokenizer=Tokenizer())
    teacher = load_text_teacher(pipeline, class_names=CLASSES)
    replaced = [text.replace("\udcff", "\ufffd") for text in TEXTS]
    with torch.no_grad():
        expected = np.asarray(Network().eval()(bytes_of(replaced)))[:, ::-1]
    np.testing.assert_allclose(checked_logits(teacher, TEXTS, 3), expected, atol=1e-6)
    assert "torch module Classifier with" in teacher.describe()
    assert "input of its tokenizer, at most 16 tokens" in teacher.describe()
    assert trainable_module(teacher) is pipeline.model
    assert understudy.load_teacher(pipeline).predict(list(TEXTS)).shape == (4, 3)


def test_an_answer_without_a_tensor_is_named() -> None:
    class Wrong(torch.nn.Module):
        def forward(self, texts: list[str]) -> Any:
            return len(texts)

    with pytest.raises(InputError, match=r"with a tensor \[examples, classes\].*received type='int' from teacher='Wrong'"):
        load_text_teacher(Wrong(), class_names=CLASSES).logits(["x"])


def test_the_digest_follows_weights_and_buffers() -> None:
    module = ByteNetwork()
    digests = [load_text_teacher(module, class_names=CLASSES).digest for _ in range(2)]
    assert digests[0] == digests[1]
    with torch.no_grad():
        module.dense.weight[0, 0] += 1e-3
    assert load_text_teacher(module, class_names=CLASSES).digest != digests[0]


def test_gradients_reach_a_torch_teacher_through_the_class_order() -> None:
    module = ByteNetwork()
    teacher = load_text_teacher(module, class_names=CLASSES)
    assert trainable_module(teacher) is module
    differentiable_logits(teacher, TEXTS)[:, 0].sum().backward()
    assert module.dense.weight.grad is not None
    assert module.dense.weight.grad.abs().sum(1).tolist()[:2] == [0, 0], "class a is the module's last column"
    assert module.dense.weight.grad[2].abs().sum() > 0


def test_joint_training_needs_a_torch_teacher() -> None:
    teacher = load_text_teacher(lambda texts: [[0.0] * 3] * len(texts), class_names=CLASSES)
    assert trainable_module(teacher) is None
    with pytest.raises(InputError, match=r"joint training changes the teacher, which must be a torch module: .*distill"):
        check_trainable(teacher)


# ---------------------------------------------------------------- .pt


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_saved_logits_in_a_torch_file(tmp_path: Path) -> None:
    torch.save({"logits": 2 * torch.eye(3), "texts": ["x", "y", "z"], "class_names": ["c", "b", "a"]}, tmp_path / "t.pt")
    teacher = load_text_teacher(tmp_path / "t.pt", class_names=CLASSES)
    assert teacher.logits(["z", "x"]).tolist() == [[2, 0, 0], [0, 0, 2]]
    assert teacher.covers(["x", "q"]).tolist() == [True, False]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"logits": torch.eye(3)}, r"without texts belong to the rows of the training file"),
        (torch.eye(3), r"with weights only"),
    ],
)
def test_torch_files_without_texts_or_logits(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "t.pt")
    with pytest.raises(InputError, match=message):
        load_text_teacher(tmp_path / "t.pt", class_names=CLASSES)


@pytest.mark.parametrize("make", ["module", "trap", "torchscript", "plain pickle"])
def test_torch_files_with_code_do_not_run(tmp_path: Path, make: str) -> None:
    path, trap = tmp_path / "t.pt", tmp_path / "trap"
    if make == "module":
        torch.save(Network(), path)
    elif make == "trap":
        torch.save({"logits": Trap(trap)}, path)
    elif make == "plain pickle":
        path.write_bytes(pickle.dumps(Trap(trap)))
    else:
        with pytest.warns(DeprecationWarning, match="torch.jit"):
            torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with pytest.raises(InputError, match=r"runs code from the file: received .*build the module in your own code and give"):
        load_text_teacher(path, class_names=CLASSES)
    assert not trap.exists()


def test_a_torch_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.pt").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"torch file must load: received .*export it again"):
        load_text_teacher(tmp_path / "t.pt", class_names=CLASSES)


@pytest.mark.parametrize("suffix", [".pkl", ".joblib"])
def test_pickles_are_refused_by_name(tmp_path: Path, suffix: str) -> None:
    path, trap = tmp_path / f"t{suffix}", tmp_path / "trap"
    path.write_bytes(pickle.dumps(Trap(trap)))
    with pytest.raises(InputError, match=r"must not run code when it is loaded, and a pickle does: .*load it in your own code"):
        load_text_teacher(path, class_names=CLASSES)
    assert not trap.exists()


def test_weights_alone_are_no_teacher_but_fit_a_module(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    trained = Network()
    with torch.no_grad():
        trained.dense.bias.fill_(7)
    torch.save({"state_dict": trained.state_dict()}, path)
    with pytest.raises(InputError, match=r"with weights only, which do not say how to compute; build the module"):
        load_text_teacher(path, class_names=CLASSES)
    assert load_weights(Network(), path).dense.bias.tolist() == [7, 7, 7]
    with pytest.raises(InputError, match=r"must fit its module: received .* for module=Linear .*build the module that"):
        load_weights(torch.nn.Linear(2, 2), path)
    torch.save(torch.zeros(3), path)
    with pytest.raises(InputError, match=r"must fit its module: received"):
        load_weights(torch.nn.Linear(2, 2), path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match=r"torch file must load"):
        load_weights(Network(), path)


# ---------------------------------------------------------------- .pt2


def exported(path: Path, *, batch: int | None = None, dtype: torch.dtype = torch.int32) -> Path:
    example = torch.ones(batch or 2, LENGTH, dtype=dtype)
    shapes = None if batch else ({0: torch.export.Dim("batch")},)
    program = torch.export.export(Network().eval(), (example,), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


@pytest.mark.parametrize(("batch", "dtype"), [(None, torch.int32), (3, torch.int32), (None, torch.uint8)])
def test_an_exported_program_answers_as_its_module(tmp_path: Path, batch: int | None, dtype: torch.dtype) -> None:
    teacher = load_text_teacher(exported(tmp_path / "t.pt2", batch=batch, dtype=dtype), class_names=CLASSES)
    np.testing.assert_array_equal(teacher.logits(TEXTS), answers(Network()))
    layout = f"{str(dtype).removeprefix('torch.')} bytes [{batch or 'any'}, 16]"
    assert layout in teacher.describe()


class Shapes(torch.nn.Module):
    """Arithmetic on the batch size, indices with gaps, formats, devices, scalars that are lists."""

    def forward(self, byte_ids: torch.Tensor) -> torch.Tensor:
        batch = byte_ids.shape[0]
        flat = byte_ids.float().reshape(batch * LENGTH // 4, 4).clone(memory_format=torch.contiguous_format)
        first = flat.view(batch, LENGTH)[:, torch.tensor([0, 2, 4])]
        place = torch.arange(batch, device="cpu", dtype=torch.float32).unsqueeze(1) * 0
        padded = torch.nn.functional.pad(first, [0, 1], value=1.0).to(torch.bfloat16).to(torch.float32)
        return torch.where(padded[:, :3] > 50, padded[:, :3], -padded[:, :3]) + place + torch.zeros(batch, 3)


def test_an_exported_program_may_compute_with_shapes(tmp_path: Path) -> None:
    example = (torch.ones(2, LENGTH, dtype=torch.int32),)
    program = torch.export.export(Shapes(), example, dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, tmp_path / "t.pt2")
    teacher = load_text_teacher(tmp_path / "t.pt2", class_names=CLASSES)
    np.testing.assert_array_equal(teacher.logits(TEXTS), Shapes()(bytes_of(TEXTS)))


def test_an_exported_program_can_learn(tmp_path: Path) -> None:
    teacher = load_text_teacher(exported(tmp_path / "t.pt2"), class_names=CLASSES)
    module = trainable_module(teacher)
    assert module is not None
    before = teacher.digest
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(differentiable_logits(teacher, TEXTS), torch.tensor([0, 1, 2, 0]))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    assert teacher.digest != before


def rewritten(path: Path, change: Callable[[dict[str, Any]], None], member: str = "models/model.json") -> Path:
    """Write the archive again with one JSON member changed."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in contents if name.endswith(member))
    document = json.loads(contents[name])
    change(document)
    contents[name] = json.dumps(document).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for key, content in contents.items():
            archive.writestr(key, content)
    return path


def first_node(document: dict[str, Any], **fields: Any) -> None:
    document["graph_module"]["graph"]["nodes"][0].update(fields)


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.ops.aten.save.default",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.manual_seed.default",
        "torch.ops.aten.__class__.mro",
        "torch.ops.higher_order.cond",
        "torch.hub.load",
        "_operator.methodcaller",
        "math.exp",
        "#custom:thing",
    ],
)
def test_programs_that_call_other_things_are_refused(tmp_path: Path, target: str) -> None:
    path = rewritten(exported(tmp_path / "t.pt2"), lambda document: first_node(document, target=target))
    with pytest.raises(
        InputError, match=r"ATen operators and plain tensors, so that loading it runs no code: received operator"
    ):
        load_text_teacher(path, class_names=CLASSES)


def test_subgraphs_and_custom_objects_are_refused(tmp_path: Path) -> None:
    argument = {"name": "x", "arg": {"as_custom_obj": {"name": "x", "class_fqn": "y"}}, "kind": 1}
    path = rewritten(exported(tmp_path / "t.pt2"), lambda document: first_node(document, inputs=[argument]))
    with pytest.raises(InputError, match="runs no code: received an argument of kind as_custom_obj"):
        load_text_teacher(path, class_names=CLASSES)


def test_pickles_and_expressions_inside_a_program_do_not_run(tmp_path: Path) -> None:
    path, trap = exported(tmp_path / "t.pt2"), tmp_path / "trap"
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    sample = next(name for name in contents if name.endswith("sample_inputs/model.pt"))
    buffer = io.BytesIO()
    torch.save(Trap(trap), buffer)
    contents[sample] = buffer.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for key, content in contents.items():
            archive.writestr(key, content)

    def poison(document: dict[str, Any]) -> None:
        code = f"__import__('pathlib').Path({str(trap)!r}).touch()"
        for size in document["graph_module"]["graph"]["tensor_values"].values():
            for entry in size["sizes"]:
                if "as_expr" in entry:
                    entry["as_expr"]["expr_str"] = code
        document["guards_code"] = [code]

    teacher = load_text_teacher(rewritten(path, poison), class_names=CLASSES)
    np.testing.assert_array_equal(teacher.logits(TEXTS), answers(Network()))
    assert not trap.exists()

    def pickled(config: dict[str, Any]) -> None:
        next(iter(config["config"].values()))["use_pickle"] = True

    rewritten(path, pickled, "model_weights_config.json")
    with pytest.raises(InputError, match=r"runs no code: received the pickled object embedding\.weight"):
        load_text_teacher(path, class_names=CLASSES)
    assert not trap.exists()


def test_programs_that_are_damaged_or_not_for_text(tmp_path: Path) -> None:
    path = exported(tmp_path / "t.pt2", batch=2, dtype=torch.int64)
    with pytest.raises(InputError, match=r"must load: .*int32 or uint8 \[texts, bytes\] is needed"):
        load_text_teacher(path, class_names=CLASSES)
    content = exported(path).read_bytes()
    rewritten(path, lambda document: document["graph_module"]["graph"]["nodes"].pop())
    with pytest.raises(InputError, match=r"torch\.export file must load: .*KeyError"):
        load_text_teacher(path, class_names=CLASSES)
    for keep in (0.0, 0.5, 0.95):
        path.write_bytes(content[: int(len(content) * keep)])
        with pytest.raises(InputError, match=r"torch\.export file must load: .*export it again"):
            load_text_teacher(path, class_names=CLASSES)

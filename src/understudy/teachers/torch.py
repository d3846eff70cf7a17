"""Teachers that are torch modules, and torch files read without running code from them."""

from __future__ import annotations

import hashlib
import io
import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from understudy.errors import InputError
from understudy.projections.text import encode
from understudy.teachers.class_order import OrderedTeacher, names_of
from understudy.teachers.model_file import BATCH, read_file, unreadable
from understudy.teachers.protocol import (
    LOADS,
    PROBE_TEXTS,
    BoolArray,
    Float32Array,
    TextTeacher,
    as_array,
    behaviour_digest,
    users_code,
)
from understudy.teachers.saved_logits import SavedLogits, from_columns

_SAFE_WAYS = (
    "build the module in your own code and give file.py:name (load its weights with "
    "understudy.teachers.torch.load_weights), or export it to ONNX or with torch.export to .pt2"
)


@dataclass(frozen=True)
class TorchTeacher:
    """A torch module that gives logits for texts.

    Attributes:
        module: called with what ``prepare`` returns: a tensor or list as its argument, a tuple as its arguments, a
            mapping as its keywords. Answers with a tensor ``[texts, classes]``, or an object or mapping with ``logits``.
        prepare: from a list of texts to the module's input.
        input_note: the input for people.
    """

    module: torch.nn.Module
    prepare: Callable[[Any], Any]
    name: str
    class_names: tuple[str, ...] | None
    input_note: str

    @property
    def digest(self) -> str:
        """Digest of name, weights and answers to the probe texts."""
        return behaviour_digest(self.logits(PROBE_TEXTS), self.name.encode(), weights_digest(self.module))

    def describe(self) -> str:
        """Return one line about the module."""
        count = sum(parameter.numel() for parameter in self.module.parameters())
        return f"torch module {self.name} with {count:,} parameters, input {self.input_note}"

    def covers(self, texts: Sequence[str]) -> BoolArray:
        """Return all True."""
        return np.ones(len(texts), np.bool_)

    def logits(self, texts: Any) -> Float32Array:
        """Return logits in evaluation mode, without gradients; the module's own mode is put back."""
        with evaluating(self.module), torch.no_grad():
            parts = [self.tensor(texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)]
        return np.concatenate([as_array(part, name=self.name) for part in parts])

    def tensor(self, texts: Any) -> torch.Tensor:
        """Return logits ``[texts, classes]`` as the module computes them now, with gradients, for joint training."""
        with users_code(self.name):
            given = self.prepare(texts if isinstance(texts, np.ndarray) else list(texts))
            if isinstance(given, tuple):
                answer = self.module(*given)
            else:
                answer = self.module(**given) if isinstance(given, Mapping) else self.module(given)
        return logits_in(answer, name=self.name)


def logits_in(answer: Any, *, name: str) -> torch.Tensor:
    """Return the tensor that a module answered with, or that its answer has as ``logits``.

    Raises:
        InputError: there is none.
    """
    found = logits_of(answer)
    if not isinstance(found, torch.Tensor):
        raise InputError(
            f"a torch teacher answers with a tensor [examples, classes], or with logits in an object or mapping: received "
            f"type={type(found).__name__!r} from teacher={name!r}; return the logits"
        )
    return found


def logits_of(answer: Any) -> Any:
    """Return what an answer has as ``logits``, in a mapping or object, else the answer itself."""
    return answer["logits"] if isinstance(answer, Mapping) and "logits" in answer else getattr(answer, "logits", answer)


def weights_digest(module: torch.nn.Module) -> bytes:
    """Return the sha256 of all weights and buffers of ``module`` with their names."""
    weights = hashlib.sha256()
    for key, value in module.state_dict().items():
        weights.update(key.encode())
        if isinstance(value, torch.Tensor):
            buffer = io.BytesIO()
            np.save(buffer, value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
            weights.update(buffer.getvalue())
    return weights.digest()


def torch_teacher(module: torch.nn.Module, *, prepare: Callable[[list[str]], Any] | None = None) -> TorchTeacher:
    """Return the teacher around ``module``.

    The input is what ``prepare`` makes of a list of texts, else what the module's own method ``prepare`` makes of it,
    else UTF-8 bytes int32 ``[texts, max_bytes]`` if the module has an attribute ``max_bytes``, else the list itself.
    """
    own = getattr(module, "prepare", None)
    max_bytes = getattr(module, "max_bytes", None)
    chosen: Callable[[list[str]], Any] = list
    note = "a list of texts"
    if prepare is not None or callable(own):
        chosen, note = prepare or cast("Callable[[list[str]], Any]", own), "made by your prepare()"
    elif isinstance(max_bytes, int):
        chosen, note = lambda texts: torch.from_numpy(encode(texts, max_bytes=max_bytes)), f"int32 bytes [any, {max_bytes}]"
    return TorchTeacher(module, chosen, type(module).__name__, names_of(module), note)


def pipeline_teacher(pipeline: Any) -> TorchTeacher:
    """Return the teacher around a text-classification pipeline of transformers: a ``model`` with its ``tokenizer``.

    Texts are cut at as many tokens as both take.
    """
    module: torch.nn.Module = pipeline.model
    with users_code(type(pipeline).__name__, rule=LOADS):
        limits = (
            getattr(pipeline.tokenizer, "model_max_length", None),
            getattr(getattr(module, "config", None), "max_position_embeddings", None),
        )
    longest = min((limit for limit in limits if isinstance(limit, int) and limit > 0), default=None)

    def prepare(texts: list[str]) -> dict[str, torch.Tensor]:
        # tokenizers take no lone surrogates, which stand for bytes that are no UTF-8
        texts = [text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for text in texts]
        tokens = pipeline.tokenizer(
            texts, padding=True, truncation=longest is not None, max_length=longest, return_tensors="pt"
        )
        parameter = next(module.parameters(), None)
        return {key: value if parameter is None else value.to(parameter.device) for key, value in tokens.items()}

    note = "of its tokenizer" if longest is None else f"of its tokenizer, at most {longest} tokens"
    return TorchTeacher(module, prepare, type(module).__name__, names_of(module) or names_in_config(module), note)


def names_in_config(module: torch.nn.Module) -> tuple[str, ...] | None:
    """Return the class names in a transformers ``config``; LABEL_0, LABEL_1 and so on are none."""
    found = getattr(getattr(module, "config", None), "id2label", None)
    if not isinstance(found, Mapping):
        return None
    names = tuple(str(found[key]) for key in sorted(found, key=int))
    return None if all(name == f"LABEL_{i}" for i, name in enumerate(names)) else names


def differentiable_logits(teacher: TextTeacher, texts: Sequence[str]) -> torch.Tensor:
    """Return the logits with gradients of a teacher with a ``trainable_module``, columns in the order of the data's classes."""
    if isinstance(teacher, OrderedTeacher):
        return differentiable_logits(teacher.source, texts)[:, list(teacher.columns)]
    assert isinstance(teacher, TorchTeacher)
    return teacher.tensor(texts)


def trainable_module(teacher: TextTeacher) -> torch.nn.Module | None:
    """Return the torch module inside ``teacher``, or None where it is of another kind and stays frozen."""
    inner = teacher.source if isinstance(teacher, OrderedTeacher) else teacher
    return inner.module if isinstance(inner, TorchTeacher) else None


def load_weights(module: torch.nn.Module, path: str | Path) -> torch.nn.Module:
    """Load a state dict from ``path`` into ``module``, without running code from the file, and return ``module``.

    Raises:
        InputError: unreadable, a pickled module, or weights of another module.
    """
    content = _load_plain(Path(path))
    state = content.get("state_dict", content) if isinstance(content, Mapping) else content
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise InputError(
            f"a weights file must fit its module: received file={str(path)!r} for module={type(module).__name__} "
            f"({' '.join(str(error).split())[:200]}); build the module that the weights were saved from"
        ) from None
    return module


def torch_file_teacher(path: Path, *, training_texts: Sequence[str] | None) -> SavedLogits:
    """Return the saved logits in a torch file: a mapping with ``logits``, and if present ``texts`` and ``class_names``.

    Raises:
        InputError: a pickled module or TorchScript, weights without a module, unreadable, or rows that match no texts.
    """
    content = _load_plain(path)
    if not isinstance(content, Mapping) or "logits" not in content:
        raise _weights_only(path)
    return from_columns(path, read_file(path), content, training_texts=training_texts, format_name="torch")


def no_model(path: Path) -> InputError:
    """Return why the torch file ``path`` answers no examples: it holds weights, or logits of other examples.

    Raises:
        InputError: a pickled module or TorchScript, or unreadable.
    """
    content = _load_plain(path)
    if not isinstance(content, Mapping) or "logits" not in content:
        return _weights_only(path)
    return InputError(
        f"saved logits answer the examples that they were saved for alone: received teacher={str(path)!r}; give them to "
        "understudy compress"
    )


def _weights_only(path: Path) -> InputError:
    return InputError(
        f"a torch file as teacher holds logits: received teacher={str(path)!r} with weights only, which do not say how "
        f"to compute; {_SAFE_WAYS}"
    )


def _load_plain(path: Path) -> Any:
    """Return the tensors and plain values in a torch file."""
    content = read_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the file is refused below; how torch words its own advice is no matter
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        if isinstance(error, pickle.UnpicklingError) or "TorchScript" in str(error):
            raise InputError(
                "a torch file may hold tensors and plain values only, because unpickling a module or running TorchScript "
                f"runs code from the file: received teacher={str(path)!r}; {_SAFE_WAYS}"
            ) from error
        raise unreadable(path, format_name="torch", reason=error) from None
    except Exception as error:  # noqa: BLE001 - of what a damaged file holds, torch raises anything
        raise unreadable(path, format_name="torch", reason=error) from None


@contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Put ``module`` and all in it into evaluation mode, and the mode of each of them back at the end."""
    modes = {each: each.training for each in module.modules()}
    _set_training(dict.fromkeys(modes, False))
    try:
        yield
    finally:
        _set_training(modes)


def _set_training(modes: Mapping[torch.nn.Module, bool]) -> None:
    for each, training in modes.items():  # parents come first and take their children along
        if each.training != training:
            # what torch.export made has no mode, and says so
            with suppress(NotImplementedError):
                each.train(training)

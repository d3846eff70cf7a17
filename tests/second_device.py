"""A second device for machines that have none: torch takes its tensors for those of a graphics card, but they lie in memory.

Numbers are computed by the processor, so that whole trainings can be compared with its own. What fails on a card fails
here too: an operation on tensors of both devices, and ``numpy()``. Under autocast layers multiply in the precision asked for.
It stands on torch's hooks for backends that are written in Python (``torch/utils/backend_registration.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Self

import torch
from torch.utils import backend_registration
from torch.utils._pytree import tree_leaves, tree_map

from understudy.training.processor import Processor

NAME = "secondary"
_MEMORY_BYTES = 2**30
_CROSSING = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
"""What moves values from one device to the other."""
_CAST = ("conv2d", "linear", "matmul")
"""Operations that autocast gives its precision; ``AUTOCAST_LOWER_PRECISION_FP`` has all of them in torch's sources."""

computed: Counter[str] = Counter()
"""Operations that ran on the second device, by name and precision of their first tensor: ``convolution bfloat16``."""


class OnSecond(torch.Tensor):
    """A tensor of the second device; ``held`` has its values."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Self:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )
        made.held = held
        return made

    def __repr__(self, **_: Any) -> str:
        return f"OnSecond({self.held})"

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(operation, args, kwargs or {})


class Module(backend_registration._DummyBackendModule):
    """``torch.secondary``: what a device's module has, as far as trainings ask for it."""

    free_bytes = _MEMORY_BYTES

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def mem_get_info(self) -> tuple[int, int]:
        return self.free_bytes, _MEMORY_BYTES

    def get_rng_state(self) -> torch.Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor) -> None:
        assert state.device.type == "cpu"
        torch.set_rng_state(state)


@cache
def second_device() -> Module:
    """Make the device known to torch, for the rest of this process, and return its module."""
    module = Module()
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=module)
    _keep(torch.library.Library("_", "IMPL")).fallback(
        lambda operation, *args, **kwargs: _compute(operation, args, kwargs), "PrivateUse1"
    )
    _keep(torch.library.Library("_", "IMPL")).fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    layers = _keep(torch.library.Library("aten", "IMPL"))
    for name in _CAST:
        layers.impl(name, _in_lower_precision(getattr(torch.ops.aten, name)), "AutocastPrivateUse1")
    return module


def second_processor(precision: torch.dtype = torch.float32) -> Processor:
    """Return the second device as what trains."""
    second_device()
    return Processor(torch.device(NAME, 0), "second device", precision)


@contextmanager
def trainable() -> Iterator[None]:
    """Let tensors of the device be made by ``torch.tensor``, and have gradients, as long as this lasts."""
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # they are made in memory, and moved
    try:
        # torch starts a thread for each device before its first gradients, which knows none of devices that come later
        with torch.autograd.set_multithreading_enabled(False):
            yield
    finally:
        torch._C._set_only_lift_cpu_tensors(before)


_kept: list[torch.library.Library] = []


def _keep(library: torch.library.Library) -> torch.library.Library:
    """Return ``library``, whose entries last as long as it does."""
    _kept.append(library)
    return library


def _compute(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    here = [tensor for tensor in tensors if isinstance(tensor, OnSecond)]
    # one value of the processor's may take part, as on a card
    there = [tensor for tensor in tensors if not isinstance(tensor, OnSecond) and tensor.dim()]
    if here and there and operation not in _CROSSING:
        raise RuntimeError(f"expected all tensors to be on the same device, but found two: {operation}")
    asked = kwargs.get("device")
    onto_second = torch.device(asked).type == NAME if asked is not None else bool(here)
    if asked is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    held_args, held_kwargs = tree_map(lambda leaf: leaf.held if isinstance(leaf, OnSecond) else leaf, (args, kwargs))
    if here:
        computed[f"{operation.overloadpacket.__name__} {str(here[0].dtype).removeprefix('torch.')}"] += 1
    found = operation(*held_args, **held_kwargs)
    if operation is torch.ops.aten.copy_.default:
        return args[0]
    if not onto_second:
        return found
    known = {id(tensor.held): tensor for tensor in here}  # what an operation in place returns is what it was given

    def wrapped(leaf: Any) -> Any:
        return known.get(id(leaf), OnSecond(leaf)) if isinstance(leaf, torch.Tensor) else leaf

    return tree_map(wrapped, found)


def _in_lower_precision(operation: Any) -> Callable[..., Any]:
    key = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)

    def cast(leaf: Any) -> Any:
        casts = isinstance(leaf, torch.Tensor) and leaf.device.type == NAME and leaf.dtype == torch.float32
        return leaf.to(torch.get_autocast_dtype(NAME)) if casts else leaf

    def layer(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(key):
            return operation(*(cast(argument) for argument in args), **kwargs)

    return layer

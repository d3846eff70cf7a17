"""The user's module as one flat ``torch.export`` graph, of a copy in float32 on the processor; the module stays as it is."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import textwrap
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export.graph_signature import OutputKind
from torch.fx import Graph, Node
from torch.utils import _pytree

from understudy.errors import InputError
from understudy.teachers.protocol import place_of, users_code
from understudy.teachers.torch import evaluating, logits_of

_BLOCKS = {"wrap_with_autocast": 4, "wrap_with_set_grad_enabled": 1}
"""Operators that run a graph of their own under a setting: how many settings come before that graph."""

_LOGGERS = ("torch.export", "torch.fx.experimental.symbolic_shapes")
"""They say at length what the error has in a line."""


@dataclass(frozen=True, eq=False)
class ExportedGraph:
    """What a module computes.

    Attributes:
        nodes: in order.
        given: inputs of the graph: a weight or constant of the module, None for the images.
        answer: the node that gives the logits; None where something else than a tensor is answered.
        rounded: whether ``torch.autocast`` rounds a part of what the module answers.
    """

    nodes: tuple[Node, ...]
    given: Mapping[Node, Tensor | None]
    answer: Node | None
    rounded: bool

    def __call__(self, images: Tensor) -> Tensor:
        """Return logits in float32 for as many images as the module was exported with."""
        interpreter = torch.fx.Interpreter(nn.Module(), graph=self.nodes[0].graph)
        inputs = [images if each is None else each.clone() for each in self.given.values()]
        interpreter.garbage_collect_values = False
        interpreter.run(*inputs)
        assert self.answer is not None, "a module without logits is refused before its answers are compared"
        found: Tensor = interpreter.env[self.answer]
        return found


def float_copy(module: nn.Module, *, name: str) -> nn.Module:
    """Return ``module`` itself where all its numbers are float32 in memory, else a copy that is.

    A student is trained in float32, and what it is compared with is rounded as it is.

    Raises:
        InputError: a module that was compiled by TorchScript, or cannot be copied.
    """
    if any(isinstance(each, torch.jit.ScriptModule) for each in module.modules()):
        raise InputError(
            f"a network that is pruned is read from the code of its module: received teacher={name!r}, which holds a "
            "ScriptModule; give the module that it was made from, before torch.jit.script or torch.jit.trace"
        )
    tensors = [*module.parameters(), *module.buffers()]
    floats = [each for each in tensors if each.is_floating_point()]
    if all(each.device.type == "cpu" for each in tensors) and all(each.dtype == torch.float32 for each in floats):
        return module
    try:
        with torch.no_grad():
            return copy.deepcopy(module).float().cpu()
    except Exception as error:
        raise InputError(
            f"a network that is pruned is read in float32 from a copy: received teacher={name!r}, which cannot be copied "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]}); give it as module.float().cpu()"
        ) from error


def exported_graph(module: nn.Module, example: Tensor, *, name: str) -> ExportedGraph:
    """Return the graph of ``module`` in evaluation, with what runs under a setting as part of it.

    Raises:
        InputError: ``torch.export`` cannot read it.
    """
    for logger in _LOGGERS:
        logging.getLogger(logger).setLevel(logging.ERROR)
    try:
        with users_code(name), evaluating(module), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            with contextlib.redirect_stderr(io.StringIO()):  # a module that cannot be read is printed there as a graph
                exported = torch.export.export(module, (example,))
    except InputError as error:
        cause = error.__cause__ or error
        place = place_of(cause)
        reason = textwrap.shorten(str(cause).strip().partition("\n")[0], 300, placeholder="...")
        raise InputError(
            f"a network that is pruned can be read by torch.export: received teacher={name!r} ({Path(place.filename).name}, "
            f"line {place.lineno}: {reason}); take out what depends on the values of an image, and casts such as x.half()"
        ) from error
    graph: Graph = exported.graph_module.graph
    rounded = _flatten_blocks(graph, exported.graph_module)
    constants: dict[str, Any] = {**exported.state_dict, **exported.constants}
    targets = {spec.arg.name: spec.target for spec in exported.graph_signature.input_specs}
    given: dict[Node, Tensor | None] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            target = targets.get(node.name)
            given[node] = None if target is None else constants[target].detach().clone()
    [output] = [node for node in graph.nodes if node.op == "output"]
    kinds = [spec.kind for spec in exported.graph_signature.output_specs]
    answers = [each for each, kind in zip(output.args[0], kinds, strict=True) if kind == OutputKind.USER_OUTPUT]
    answer = _pytree.tree_unflatten(answers, exported.call_spec.out_spec)
    logits = logits_of(answer)
    return ExportedGraph(tuple(graph.nodes), given, logits if isinstance(logits, Node) else None, rounded)


def _flatten_blocks(graph: Graph, module: nn.Module) -> bool:
    """Put graphs that run under a setting into ``graph``, without it; return whether one of them rounds numbers."""
    rounded = False
    blocks = [node for node in graph.nodes if _settings_of(node) is not None]
    for node in blocks:
        count = _settings_of(node)
        assert count is not None
        settings, (inner, *arguments) = node.args[:count], node.args[count:]
        part: Any = module.get_submodule(inner.target)
        rounded |= node.target.__name__ == "wrap_with_autocast" and bool(settings[2])
        rounded |= _flatten_blocks(part.graph, part)
        taken = [each for each in part.graph.nodes if each.op == "placeholder"]
        with graph.inserting_before(node):
            made: Any = graph.graph_copy(part.graph, dict(zip(taken, arguments, strict=True)))
        for user in list(node.users):
            user.replace_all_uses_with(made[user.args[1]])
            graph.erase_node(user)
        graph.erase_node(node)
        graph.erase_node(inner)
    for node in list(graph.nodes):  # these look at number formats, which are others without the setting
        if rounded and "_assert_tensor_metadata" in str(node.target):
            graph.erase_node(node)
    return rounded


def _settings_of(node: Node) -> int | None:
    return _BLOCKS.get(getattr(node.target, "__name__", "")) if node.op == "call_function" else None

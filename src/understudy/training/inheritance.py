"""Sizes share work: a student begins from the strongest channels of a wider one of its kind that has learned.

A kernel's strength is the sum of its absolute weights, as where filters are pruned (Li et al. 2017, arXiv 1608.08710, section
3.1). ``docs/adr/0038`` says what this is worth.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from understudy.program.ops import Node, Program
from understudy.students.recipe import Recipe
from understudy.students.registry import build_student

Int64Array = npt.NDArray[np.int64]


def can_begin_from(student: Recipe, wider: Recipe) -> bool:
    """Return whether ``student`` is a plain CNN with fewer channels than the plain CNN ``wider``, and no layer with more.

    Other students add channels to channels, or read signs of them: which of them to keep is not each layer's own choice.
    """
    if not student.student == wider.student == "plain_cnn" or student.image_shape != wider.image_shape:
        return False
    return student.width < wider.width and student.hidden <= wider.hidden


def strongest_channels(recipe: Recipe, wider: Program) -> Program:
    """Return the float program of ``recipe`` with the weights of the strongest channels of ``wider``.

    Each layer keeps the channels whose kernels are largest, and of their weights those that read a channel that was kept.
    Biases begin anew, because batch norms do.
    """
    classes = wider.classes
    begun = build_student(recipe, classes=classes, seed=0)  # for its shapes
    nodes: dict[str, Node] = {node.output: node for node in begun.nodes}
    kept: Int64Array = np.arange(wider.layers[0].weight.shape[-1])
    channels = len(kept)
    for learned, layer in zip(wider.layers, begun.layers, strict=True):
        weight = learned.weight
        # the classes read the sum of each channel, and then the maximum of each; those of a narrow student the maximum alone
        inputs = np.concatenate([kept + first for first in range(0, weight.shape[-1], channels)])[-layer.weight.shape[-1] :]
        strength = np.abs(weight).reshape(len(weight), -1).sum(axis=1)
        outputs = np.sort(np.argsort(-strength, kind="stable")[: len(layer.weight)])
        nodes[layer.output] = replace(layer, weight=weight[outputs][..., inputs])
        kept, channels = outputs, len(weight)
    return Program(tuple(nodes.values()))

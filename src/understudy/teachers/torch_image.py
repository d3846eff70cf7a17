"""Torch modules that take images: plain ones, timm's and those of Hugging Face's transformers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from understudy.errors import InputError
from understudy.teachers.class_order import names_of
from understudy.teachers.image_input import USUAL, AnyArray, ImageInput, PixelRange
from understudy.teachers.image_model import ImageModel, RunError
from understudy.teachers.protocol import Float32Array, as_array, users_code
from understudy.teachers.torch import evaluating, logits_in, names_in_config, weights_digest


def torch_image_model(source: Any) -> ImageModel:
    """Return the model for images around ``source``.

    What it wants is read from where the libraries keep it: timm's ``pretrained_cfg``, and ``image_processor`` beside
    ``model`` as in a pipeline of transformers. Its answer is a tensor ``[images, classes]``, or has one as ``logits``.

    Args:
        source: a torch module, or an object with the module as ``model``.
    """
    module: torch.nn.Module = source if isinstance(source, torch.nn.Module) else source.model
    name = type(module).__name__
    parameters = list(module.parameters())

    def run(values: AnyArray) -> Float32Array:
        given = torch.from_numpy(values)
        if parameters:
            given = given.to(parameters[0].device)
            given = given.to(parameters[0].dtype) if parameters[0].is_floating_point() else given
        try:
            with users_code(name), evaluating(module), torch.no_grad():
                answer = module(given)
        except InputError as error:
            raise RunError(str(error)) from error
        return as_array(logits_in(answer, name=name), name=name)

    size_bytes = sum(parameter.numel() * parameter.element_size() for parameter in parameters)
    count = sum(parameter.numel() for parameter in parameters)
    return ImageModel(
        run=run,
        input=ImageInput(pixel_range=_range_of(source, module)),
        name=name,
        digest=hashlib.sha256(weights_digest(module) + repr(module).encode()).hexdigest(),
        class_names=names_of(module) or names_in_config(module),
        summary=f"torch module {name} with {count:,} parameters",
        size_bytes=size_bytes,
        opaque=True,
        module=module,
    )


def _range_of(source: Any, module: torch.nn.Module) -> PixelRange | None:
    """Return the range that timm or transformers noted beside the weights, None where there is no note."""
    for owner in (source, module):
        for attribute in ("image_processor", "processor"):
            processor = getattr(owner, attribute, None)
            if processor is not None and getattr(processor, "image_mean", None) is not None:
                factor = getattr(processor, "rescale_factor", 1 / 255) if getattr(processor, "do_rescale", True) else 1.0
                normalized = getattr(processor, "do_normalize", True)
                mean, deviation = (processor.image_mean, processor.image_std) if normalized else ([0.0], [1.0])
                return _named(mean, deviation, divisor=1 / factor)
        for attribute in ("pretrained_cfg", "default_cfg"):
            noted = getattr(owner, attribute, None)
            noted = noted if isinstance(noted, Mapping) else getattr(noted, "__dict__", {})
            if noted.get("mean") is not None and noted.get("std") is not None:
                return _named(noted["mean"], noted["std"], divisor=255.0)
    return None


def _named(mean: Sequence[float], deviation: Sequence[float], *, divisor: float) -> PixelRange:
    """Return the range with these numbers, which is one of the usual ones where it equals one."""
    made = PixelRange(
        f"mean {_listed(mean)} and deviation {_listed(deviation)}, which it names",
        divisor=divisor,
        mean=tuple(float(m) for m in mean),
        deviation=tuple(float(d) for d in deviation),
    )
    probe = np.arange(0, 256, 51, dtype=np.uint8).reshape(-1, 1, 1, 1).repeat(3, axis=3)
    return next((usual for usual in USUAL if np.allclose(usual(probe), made(probe), atol=1e-4)), made)


def _listed(values: Sequence[float]) -> str:
    return "/".join(f"{value:g}" for value in values)

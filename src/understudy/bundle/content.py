"""What a bundle is given to answer, and how it becomes what its files read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from understudy.bundle.manifest import Manifest
from understudy.errors import InputError
from understudy.export.protocol import Float32Array, Inputs
from understudy.projections.text import KINDS_OF_TEXTS, encode, need_texts

Content = Sequence[str | bytes] | npt.NDArray[np.uint8] | Float32Array | npt.NDArray[np.int16]
"""Texts, images ``[batch, H, W, C]``, numbers ``[batch, d]`` or
``[batch, T, C]``, or sounds ``[batch, samples]``."""


def model_inputs(manifest: Manifest, content: Content) -> Inputs:
    """Return texts as bytes int32 ``[batch, max_bytes]``, images and sounds as they are, numbers as float32.

    Raises:
        InputError: images, numbers or sounds of another shape, another kind of content, or one text without a list around it.
    """
    max_bytes, sound = manifest.max_bytes, manifest.sound
    if max_bytes is not None:
        need_texts(content)
    if max_bytes is not None and (not isinstance(content, np.ndarray) or content.dtype.kind in KINDS_OF_TEXTS):
        return encode(content, max_bytes=max_bytes)
    shape = manifest.image_shape if sound is None else (sound.samples,)
    kind = np.dtype(np.uint8 if sound is None else np.int16)
    if shape is not None and isinstance(content, np.ndarray) and content.dtype == kind:
        if content.shape[1:] == shape:
            return content
        if (*content.shape[1:], 1) == shape and content.ndim == 3:  # grey images, as a job takes them
            return content[..., None]
    if isinstance(content, np.ndarray):
        received = f"{content.dtype} shape={content.shape}"
    else:
        given: object = content  # a user's mistake is of any type
        is_row = isinstance(given, Sequence) and not isinstance(given, str | bytes)
        texts = is_row and all(isinstance(each, str | bytes) for each in content)
        received = f"{len(content)} texts" if texts else f"type={type(given).__name__!r}"
    wanted = "texts" if shape is None else f"{kind} {manifest.examples} [batch, {', '.join(map(str, shape))}]"
    if manifest.input_shape is not None:
        if isinstance(content, np.ndarray) and content.dtype.kind in "biuf" and content.shape[1:] == manifest.input_shape:
            return content.astype(np.float32, copy=False)
        wanted = f"numbers [batch, {', '.join(map(str, manifest.input_shape))}]"
    one = isinstance(content, np.ndarray) and content.shape in (shape, manifest.input_shape)
    step = (
        "put it into a batch of one, x[None]" if one else "give what it was made for" + ("" if max_bytes else ", as an array")
    )
    raise InputError(f"this model reads {wanted}: received {received}; {step}")

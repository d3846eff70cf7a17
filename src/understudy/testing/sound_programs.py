"""Small integer programs for sounds, for tests of everything that executes or exports one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from understudy.program.ops import Conv, MaxPool, Program, Quantization, Softmax, Sound
from understudy.projections.log_mel import LogMel
from understudy.testing.image_programs import image_program


def sound_program(*, sample_rate: int = 8000, samples: int = 1664, **settings: Any) -> Program:
    """Return ``image_program`` with ``settings`` on the log-mel pictures of sounds."""
    log_mel = LogMel(samples, sample_rate)
    made = image_program(shape=log_mel.shape, **settings)
    return replace(made, nodes=(Sound("samples", "image", log_mel), *made.nodes[1:]))


def seen_sound_program(*, sample_rate: int = 8000, samples: int = 640) -> Program:
    """Return a program whose logits are the values of a short sound's picture: one filter of unit weights for each."""
    log_mel = LogMel(samples, sample_rate)
    count = math.prod(log_mel.shape)
    weight = np.eye(count, dtype=np.int8).reshape(count, *log_mel.shape)
    ones = np.ones(1, np.float32)
    nodes = (
        Sound("samples", "image", log_mel),
        Conv("image", "values", weight, None, 1, (0, 0, 0, 0), relu=False, per_channel=False, weight_scale=ones),
        MaxPool("values", "logits"),
        Softmax("logits", "probabilities"),
    )
    # probabilities show a logit as long as they are not too small: steps of the image's scale
    return Program(nodes, dict.fromkeys(("image", "values", "logits"), Quantization(Sound.quantization.scale, -128)))


def sounds(program: Program, count: int, seed: int = 0) -> npt.NDArray[np.int16]:
    """Return int16 sounds ``[count, samples]``: silence, extremes, tones that grow, clicks, and noise of every loudness."""
    source = program.source
    assert isinstance(source, Sound)
    rng = np.random.default_rng(seed)
    samples = source.log_mel.samples
    time = np.arange(samples) / source.log_mel.sample_rate
    loudness = 2.0 ** rng.uniform(0, 15, (count, 1))
    pitch = rng.uniform(0, source.log_mel.sample_rate / 2, (count, 1))
    made = rng.normal(0, 1, (count, samples)) * loudness
    made[::3] = (np.sin(2 * np.pi * time * pitch) * loudness * np.linspace(0, 1, samples))[::3]
    made[1::6] = np.where(rng.random((count, samples)) < 3 / samples, 4 * made, 0)[1::6]
    extremes = [
        np.zeros(samples),
        np.full(samples, -32768),
        np.full(samples, 32767),
        np.where(time * pitch[0] % 1 < 0.5, -32768, 32767),
    ]
    made[: len(extremes)] = extremes[:count]
    return np.clip(np.rint(made), -32768, 32767).astype(np.int16)

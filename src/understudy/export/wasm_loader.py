"""The JavaScript beside a WebAssembly module: one loader for each kind of input, of the template ``model.mjs.in``."""

from __future__ import annotations

import string
from importlib import resources

from understudy.program.ops import Image, Program, ProjectText, Sound, Standardize

_TEMPLATE = "model.mjs.in"

_TEXT = {
    "what": "text",
    "argument": "text",
    "given": "bytes",
    "size": "maxBytes",
    "usage": ' *   model.predict("some text");      // [{ label, score }, ...], the best first',
    "opening": """\
  const { name, labels, max_bytes: maxBytes } = JSON.parse(new TextDecoder().decode(about));
  const input = new Uint8Array(exports.memory.buffer, exports.input.value, maxBytes);
  const encoder = new TextEncoder();""",
    "probabilities": """\
  /** A probability for each label, of a string or of UTF-8 bytes; only the first maxBytes bytes are read. */
  function probabilities(text) {
    const all = typeof text === "string" ? encoder.encode(text) : text;
    if (!all?.subarray) throw new TypeError(`the model reads a string or a Uint8Array of UTF-8: received ${typeof text}`);
    const bytes = all.subarray(0, maxBytes);
    input.set(bytes);""",
}
_IMAGE = {
    "what": "image",
    "argument": "bytes",
    "given": "bytes",
    "size": "shape",
    "usage": """\
 *   model.shape;                     // [height, width, channels]
 *   model.predict(pixels);           // [{ label, score }, ...], the best first
 *
 * Pixels are a Uint8Array, row by row, the channels of a pixel beside each other.""",
    "opening": """\
  const { name, labels, shape } = JSON.parse(new TextDecoder().decode(about));
  const size = shape[0] * shape[1] * shape[2];
  const input = new Uint8Array(exports.memory.buffer, exports.input.value, size);""",
    "probabilities": """\
  /** A probability for each label, of the bytes of an image. */
  function probabilities(bytes) {
    if (bytes?.length !== size) throw new RangeError(`an image has ${size} bytes: received ${bytes?.length}`);
    input.set(bytes);""",
}
_SOUND = {
    "what": "sound",
    "argument": "samples",
    "given": "samples",
    "size": "sampleCount, sampleRate",
    "usage": """\
 *   model.sampleRate;                // samples a second, such as 8000
 *   model.predict(samples);          // [{ label, score }, ...], the best first
 *
 * Samples are an Int16Array of model.sampleCount, one channel.""",
    "opening": """\
  const { name, labels, samples: sampleCount, sample_rate: sampleRate } = JSON.parse(new TextDecoder().decode(about));
  const input = new Int16Array(exports.memory.buffer, exports.input.value, sampleCount);""",
    "probabilities": """\
  /** A probability for each label, of 16-bit samples. */
  function probabilities(samples) {
    if (samples?.length !== sampleCount) {
      throw new RangeError(`a sound has ${sampleCount} samples: received ${samples?.length}`);
    }
    input.set(samples);""",
}
_VECTOR = {
    "what": "vector",
    "argument": "values",
    "given": "values",
    "size": "shape",
    "usage": """\
 *   model.shape;                     // [numbers], or [steps, channels]
 *   model.predict(values);           // [{ label, score }, ...], the best first
 *
 * Values are an array or a Float32Array, in the units of the training data; the channels of a step stand beside each other.""",
    "opening": """\
  const { name, labels, shape } = JSON.parse(new TextDecoder().decode(about));
  const size = shape.reduce((product, side) => product * side, 1);
  const input = new Float32Array(exports.memory.buffer, exports.input.value, size);""",
    "probabilities": """\
  /** A probability for each label, of numbers. */
  function probabilities(values) {
    if (values?.length !== size) throw new RangeError(`the model reads ${size} numbers: received ${values?.length}`);
    input.set(values);""",
}
_INPUTS = {ProjectText: _TEXT, Image: _IMAGE, Sound: _SOUND, Standardize: _VECTOR}


class _Template(string.Template):
    """Text with ``@name`` where something is filled in, because JavaScript has its own use for the dollar."""

    delimiter = "@"


def loader_name(module: str) -> str:
    """Return the name of the loader beside ``module``."""
    return f"{module.removesuffix('.wasm')}.mjs"


def wasm_loader(program: Program, *, module: str) -> bytes:
    """Return the loader for ``module``, which reads what ``program`` reads."""
    template = _Template(resources.files(__package__).joinpath(_TEMPLATE).read_text(encoding="utf-8"))
    return template.substitute(_INPUTS[type(program.source)], module=module, loader=loader_name(module)).encode()

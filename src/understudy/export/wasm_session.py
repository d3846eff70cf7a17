"""A WebAssembly model in Node, through the loader that a page would import."""

from __future__ import annotations

import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt

from understudy.errors import BundleError, SetupError
from understudy.export.protocol import Float32Array, Inputs, input_bytes
from understudy.export.wasm_loader import loader_name

Float64Array = npt.NDArray[np.float64]

# examples come as rows of bytes on standard input, texts padded with zeros; with repeats the answer is microseconds in place
# of probabilities
_DRIVER = """\
import { readFileSync, writeSync } from "node:fs";
import { pathToFileURL } from "node:url";
const [loader, length, repeats, kind] = process.argv.slice(1);
const { load } = await import(pathToFileURL(loader));
const model = await load();
const content = readFileSync(0);
const examples = [];
for (let i = 0; i < content.length; i += +length) {
  let end = i + +length;
  while (kind === "int32" && end > i && content[end - 1] === 0) end--;
  const example = content.subarray(i, end);
  const views = { float32: Float32Array, int16: Int16Array };
  examples.push(kind in views ? new views[kind](Uint8Array.from(example).buffer) : example);
}
const answer = [];
if (!+repeats) {
  answer.push(new BigInt64Array([BigInt(examples.length), BigInt(model.labels.length)]));
  for (const example of examples) answer.push(model.probabilities(example));
} else {
  if (examples.length) model.probabilities(examples[0]);
  for (let repeat = 0; repeat < +repeats; repeat++) {
    answer.push(Float64Array.from(examples, (example) => {
      const begin = process.hrtime.bigint();
      model.probabilities(example);
      return Number(process.hrtime.bigint() - begin) / 1e3;
    }));
  }
}
const bytes = Buffer.concat(answer.map((array) => new Uint8Array(array.buffer)));
for (let sent = 0; sent < bytes.length; ) sent += writeSync(1, bytes, sent);
"""


def node_version() -> str:
    """Return the version of Node, such as ``20.20.2``.

    Raises:
        SetupError: it is not installed.
    """
    if shutil.which("node") is None:
        raise SetupError(
            "running WebAssembly needs Node 18 or newer: received node not found; install it (Debian: apt install nodejs)"
        )
    answer = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    return answer.stdout.strip().removeprefix("v")


class WasmSession:
    """A module with its loader; every call starts Node anew.

    Attributes:
        runtime: version of Node.
    """

    def __init__(self, path: Path) -> None:
        self.runtime = f"Node {node_version()}"
        self._path = path
        self._run(np.zeros((0, 1), np.int32), 0)  # a damaged file is found when it is opened

    def predict(self, inputs: Inputs) -> Float32Array:
        """Return probabilities float32 ``[batch, classes]`` for what the model reads, ``[batch, ...]``."""
        answer = self._run(inputs, 0)
        shape = np.frombuffer(answer[:16], np.int64)
        return np.frombuffer(answer[16:], np.float32).reshape(*shape)

    def time_us(self, inputs: Inputs, repeats: int) -> Float64Array:
        """Return microseconds of single calls, float64 ``[repeats, batch]``, after one call that is not counted."""
        return np.frombuffer(self._run(inputs, repeats), np.float64).reshape(repeats, len(inputs))

    def _run(self, inputs: Inputs, repeats: int) -> bytes:
        length = math.prod(inputs.shape[1:]) * (1 if inputs.dtype == np.int32 else inputs.itemsize)
        loader = self._path.resolve().with_name(loader_name(self._path.name))
        arguments = (str(loader), str(length), str(repeats), inputs.dtype.name)
        result = subprocess.run(
            ["node", "--input-type=module", "--eval", _DRIVER, "--", *arguments],
            input=input_bytes(inputs),
            capture_output=True,
            check=False,
        )
        if result.returncode:
            lines = result.stderr.decode("utf-8", "replace").splitlines()
            reason = next((line for line in lines if "Error" in line), f"exit code {result.returncode}")
            raise BundleError(
                f"a WebAssembly model must be complete: received path={str(self._path)!r} ({reason.strip()}); "
                "copy or compress it again"
            )
        return result.stdout

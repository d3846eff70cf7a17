"""ONNX Runtime Web, for the browser as a target: where its files are, and a page that runs ``model.onnx`` in it."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import string
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from understudy.errors import SetupError

VERSION = "1.30.0"
"""The version of onnxruntime-web that ``make devices`` brings."""
MODULE, BINARY = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
_TYPES = {".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm", ".onnx": "application/octet-stream"}
_HOLD_SECONDS = 600


def onnxruntime_web() -> Path:
    """Return the folder with the files of ONNX Runtime Web.

    Raises:
        SetupError: they are not there.
    """
    folder = Path(sys.prefix) / "share" / "understudy" / f"onnxruntime-web-{VERSION}"
    for name in (MODULE, BINARY):
        if not (folder / name).is_file():
            raise SetupError(
                f"running an ONNX file on browser needs ONNX Runtime Web: received {str(folder / name)!r} not found; run: "
                f"make onnxruntime-web, or copy that file there from the folder dist of the npm package "
                f"onnxruntime-web@{VERSION}, or name other files with --format"
            )
    return folder


def page(
    inputs: Sequence[bytes], *, shape: Sequence[int], kind: str, classes: int, batch_milliseconds: float, timed_inputs: int
) -> str:
    """Return the page; ``shape`` is the model's input ``[1, ...]``, of numbers uint8, int32 (from bytes) or float32."""
    template = resources.files(__package__).joinpath("browser_onnx.html").read_text("utf-8")
    return string.Template(template).substitute(
        inputs=json.dumps([base64.b64encode(each).decode("ascii") for each in inputs]),
        shape=json.dumps(list(shape)),
        kind=kind,
        classes=classes,
        batch_milliseconds=batch_milliseconds,
        timed_inputs=timed_inputs,
        module=MODULE,
        binary=BINARY,
    )


@dataclass(frozen=True)
class _Site:
    files: dict[str, bytes]
    done: threading.Event


@contextlib.contextmanager
def served(files: dict[str, bytes]) -> Iterator[str]:
    """Serve ``files`` (name to content) to this machine while inside; yields the address.

    A page cannot load WebAssembly from a file. ``hold`` is answered when ``done`` was asked for, so that a page that holds an
    image of that name has not loaded before.
    """
    site = _Site(files, threading.Event())

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.lstrip("/")
            if name == "done":
                site.done.set()
            elif name == "hold":
                site.done.wait(_HOLD_SECONDS)
            content = site.files.get(name)
            self.send_response(204 if content is None else 200)
            self.send_header("Content-Type", _TYPES.get(Path(name).suffix, "text/plain"))
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            if content:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        site.done.set()
        server.shutdown()
        thread.join()
        server.server_close()

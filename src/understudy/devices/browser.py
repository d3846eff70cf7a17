"""A web browser: headless Chromium runs the model on a page, gives its answers and times itself.

The page runs WebAssembly, ours or compiled from C, and ONNX files in ONNX Runtime Web.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
import shutil
import string
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from understudy.bundle import Bundle
from understudy.device_measurements import Measurement
from understudy.devices.browser_onnx import BINARY, MODULE, onnxruntime_web, served
from understudy.devices.browser_onnx import page as onnx_page
from understudy.devices.browser_process import browser_folder, run_whole_group
from understudy.devices.emulation import compile_c, model_flags, need_tools, version_of, write_sources
from understudy.devices.runner import Examples, compared
from understudy.errors import InputError, SetupError, VerificationError
from understudy.export.c import CExporter
from understudy.export.parity import spread_us
from understudy.export.wasm_float import MODULES
from understudy.formats import FLOAT_FORMATS

FORMATS = ("wasm", "c", "onnx", "wasm_float")
"""The files that a page runs; C is compiled, where there is no WebAssembly of integers."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CLANG_FLAGS = ("--target=wasm32", "-std=c99", "-O2", "-ffreestanding", "-nostdlib", "-fvisibility=hidden")
LINKER_FLAGS = "-Wl,--no-entry,--strip-all,--export=input,--export=scores,-z,stack-size=4096"
BATCH_MILLISECONDS = 10
"""How long each input is run: the clock of a page has steps of a tenth of a millisecond."""
TIMED_INPUTS = 256
"""Texts that are timed; all of them are compared."""
LIMIT_SECONDS = 600
_MODULE, _PAGE = "model.wasm", "page.html"


@dataclass(frozen=True)
class BrowserRunner:
    """``--on browser``: measured, each file on a page of a process of its own.

    Attributes:
        formats: the files to run; None for the WebAssembly files, or the C file compiled to one, and the ONNX file.
    """

    formats: tuple[str, ...] | None = None
    runnable: ClassVar[tuple[str, ...] | None] = FORMATS

    def check(self, bundle: Bundle) -> tuple[SetupError, ...]:
        """Return what is missing for some files; raise where that is all, or the bundle holds none that a page runs."""
        _browser()
        missing = _missing(self._formats(bundle))
        if len(missing) == len(self._formats(bundle)):
            raise next(iter(missing.values()))
        return tuple(missing.values())

    def run(self, bundle: Bundle, examples: Examples) -> list[Measurement]:
        """Return a measurement of each file that can be run here.

        Raises:
            VerificationError: a page did not give an answer.
        """
        missing = _missing(self._formats(bundle))
        return [
            self._onnx(bundle, examples) if format_name == "onnx" else self._webassembly(bundle, examples, format_name)
            for format_name in self._formats(bundle)
            if format_name not in missing
        ]

    def _formats(self, bundle: Bundle) -> tuple[str, ...]:
        """Return the formats of ``bundle`` that are run."""
        held = tuple(name for name in FORMATS if name in bundle.formats)
        found = tuple(name for name in held if name != "c" or "wasm" not in held) if self.formats is None else self.formats
        if not found or not set(found) <= set(held):
            asked = "" if self.formats is None else f", format={','.join(self.formats)!r}"
            raise InputError(
                f"browser runs files that the bundle holds, of {', '.join(FORMATS)}: received bundle={str(bundle.folder)!r} "
                f"with formats={','.join(bundle.formats)!r}{asked}; run: understudy export BUNDLE --to wasm"
            )
        return found

    def _webassembly(self, bundle: Bundle, examples: Examples, format_name: str) -> Measurement:
        with browser_folder() as folder:
            module, how = _module(bundle, format_name, folder)
            page = string.Template(resources.files(__package__).joinpath("browser.html").read_text("utf-8")).substitute(
                inputs=json.dumps([base64.b64encode(each).decode("ascii") for each in examples.as_bytes()]),
                classes=len(bundle.labels),
                batch_milliseconds=BATCH_MILLISECONDS,
                timed_inputs=TIMED_INPUTS,
                value_bytes={"float32": 4, "int16": 2}.get(examples.inputs.dtype.name, 1),
                module=base64.b64encode(module).decode("ascii"),
            )
            (folder / _PAGE).write_text(page, "utf-8")
            answer = _open_page((folder / _PAGE).as_uri(), folder)
        return _measurement(answer, bundle, examples, format_name=format_name, how=how)

    def _onnx(self, bundle: Bundle, examples: Examples) -> Measurement:
        library = onnxruntime_web()
        page = onnx_page(
            examples.as_bytes(),
            shape=(1, *examples.inputs.shape[1:]),
            kind=examples.inputs.dtype.name,
            classes=len(bundle.labels),
            batch_milliseconds=BATCH_MILLISECONDS,
            timed_inputs=TIMED_INPUTS,
        )
        files = {name: (library / name).read_bytes() for name in (MODULE, BINARY)}
        files |= {_PAGE: page.encode(), "model.onnx": bundle.read("model.onnx")}
        with browser_folder() as folder, served(files) as address:
            answer = _open_page(address + _PAGE, folder)
        return _measurement(answer, bundle, examples, format_name="onnx", how=f"ONNX Runtime Web {answer['version']}")


def _measurement(answer: dict[str, Any], bundle: Bundle, examples: Examples, *, format_name: str, how: str) -> Measurement:
    scores = np.frombuffer(base64.b64decode(answer["scores"]), "<f4").reshape(len(examples.inputs), len(bundle.labels))
    return Measurement.model_validate(
        {
            "target": "browser",
            "format": format_name,
            "runtime": f"{version_of(_browser())}, {how}",
            "measured": True,
            "latency_us": spread_us(answer["microseconds"]),
            "note": f"on a page of this machine's browser; each of {len(answer['microseconds'])} inputs was run for "
            f"{BATCH_MILLISECONDS} ms, so a time is a mean of that one",
            **compared(np.array(scores, np.float32), examples, bundle, in_float=format_name in FLOAT_FORMATS),
        }
    )


def _missing(formats: Sequence[str]) -> dict[str, SetupError]:
    """Return, for each of ``formats`` that cannot be run here, what is missing."""
    missing = {}
    for format_name in formats:
        try:
            if format_name == "onnx":
                onnxruntime_web()
            elif format_name == "c":
                need_tools("clang", "wasm-ld", target="browser")
        except SetupError as error:
            missing[format_name] = error
    return missing


def _browser() -> str:
    """Return the browser's command.

    Raises:
        SetupError: none is installed.
    """
    for command in BROWSERS:
        if shutil.which(command):
            return command
    raise SetupError(
        f"running on browser needs Chromium: received {', '.join(BROWSERS)} not found; run: make devices "
        "(Debian: apt install chromium)"
    )


def _module(bundle: Bundle, format_name: str, folder: Path) -> tuple[bytes, str]:
    """Return a WebAssembly module and where it came from."""
    if format_name in MODULES:
        return bundle.read(MODULES[format_name]), "WebAssembly"
    write_sources(folder)
    command = ["clang", *CLANG_FLAGS, *model_flags(bundle, CExporter()), LINKER_FLAGS, "-o", _MODULE, "browser.c"]
    compile_c(command, folder=folder, what="the WebAssembly module")
    return (folder / _MODULE).read_bytes(), f"WebAssembly by {version_of('clang')} -O2"


def _open_page(address: str, folder: Path) -> dict[str, Any]:
    """Return what the page at ``address`` says; a browser's profile of its own is kept in ``folder``.

    Raises:
        VerificationError: it says nothing, or that something failed.
    """
    flags = ["--headless", "--disable-gpu", f"--user-data-dir={folder / 'profile'}", "--no-first-run", "--dump-dom"]
    if os.getuid() == 0:
        flags.append("--no-sandbox")  # Chromium refuses to run as root with it; the page is ours and loads nothing
    command = [_browser(), *flags, address]
    try:
        result = run_whole_group(command, folder=folder, limit_seconds=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise VerificationError(f"a page ends: received no end after {LIMIT_SECONDS} s; please report this") from None
    found = re.search(r'<pre id="answer">(.+?)</pre>', result.stdout, re.DOTALL)
    if found is None:
        said = " ".join(result.stderr.split())[-200:]
        raise VerificationError(
            f"a page answers: received exit_code={result.returncode} and no answer from {command[0]} {said!r}; report it"
        )
    answer: dict[str, Any] = json.loads(html.unescape(found[1]))
    if "error" in answer:
        said = " ".join(answer["error"].split())
        raise VerificationError(f"a page runs the model: received {said!r} from {version_of(_browser())}; report it")
    return answer

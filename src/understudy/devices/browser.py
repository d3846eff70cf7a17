"""A web browser: headless Chromium runs the model as WebAssembly on a page, gives its answers and times itself."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import shutil
import string
import subprocess
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from understudy.bundle import Bundle
from understudy.device_measurements import Measurement
from understudy.devices.emulation import compile_c, model_flags, need_c_file, need_tools, version_of, write_sources
from understudy.devices.runner import Examples, compared, spread_us
from understudy.errors import SetupError, VerificationError

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
    """``--on browser``: measured, in one page of one process."""

    def check(self, bundle: Bundle) -> None:
        """Raise where a tool is missing or the bundle holds neither WebAssembly nor C."""
        _browser()
        if "wasm" not in bundle.formats:
            need_c_file(bundle, target="browser")
            need_tools("clang", "wasm-ld", target="browser")

    def run(self, bundle: Bundle, examples: Examples) -> list[Measurement]:
        """Return the measurement of the bundle's WebAssembly file, or of its C file, compiled to one.

        Raises:
            VerificationError: the page did not give an answer.
        """
        inputs = examples.as_bytes()
        with tempfile.TemporaryDirectory(prefix="understudy-browser-") as temporary:
            folder = Path(temporary)
            format_name, module, how = _module(bundle, folder)
            page = string.Template(resources.files(__package__).joinpath("browser.html").read_text("utf-8")).substitute(
                inputs=json.dumps([base64.b64encode(each).decode("ascii") for each in inputs]),
                classes=len(bundle.labels),
                batch_milliseconds=BATCH_MILLISECONDS,
                timed_inputs=TIMED_INPUTS,
                value_bytes={"float32": 4, "int16": 2}.get(examples.inputs.dtype.name, 1),
                module=base64.b64encode(module).decode("ascii"),
            )
            (folder / _PAGE).write_text(page, "utf-8")
            answer = _open_page(folder)
        scores = np.frombuffer(base64.b64decode(answer["scores"]), "<f4").reshape(len(inputs), len(bundle.labels))
        return [
            Measurement.model_validate(
                {
                    "target": "browser",
                    "format": format_name,
                    "runtime": f"{version_of(_browser())}, {how}",
                    "measured": True,
                    "latency_us": spread_us(answer["microseconds"]),
                    "note": f"on a page of this machine's browser; each of {len(answer['microseconds'])} inputs was run for "
                    f"{BATCH_MILLISECONDS} ms, so a time is a mean of that one",
                    **compared(np.array(scores, np.float32), examples, bundle),
                }
            )
        ]


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


def _module(bundle: Bundle, folder: Path) -> tuple[str, bytes, str]:
    """Return format, WebAssembly module and where it came from."""
    if "wasm" in bundle.formats:
        return "wasm", (bundle.folder / _MODULE).read_bytes(), "WebAssembly"
    write_sources(folder)
    command = ["clang", *CLANG_FLAGS, *model_flags(bundle), LINKER_FLAGS, "-o", _MODULE, "browser.c"]
    compile_c(command, folder=folder, what="the WebAssembly module")
    return "c", (folder / _MODULE).read_bytes(), f"WebAssembly by {version_of('clang')} -O2"


def _open_page(folder: Path) -> dict[str, str]:
    """Return what the page in ``folder`` says; a browser's profile of its own is kept there too."""
    flags = ["--headless", "--disable-gpu", f"--user-data-dir={folder / 'profile'}", "--no-first-run", "--dump-dom"]
    if os.getuid() == 0:
        flags.append("--no-sandbox")  # Chromium refuses to run as root with it; the page is ours and loads nothing
    command = [_browser(), *flags, (folder / _PAGE).as_uri()]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise VerificationError(f"a page ends: received no end after {LIMIT_SECONDS} s; please report this") from None
    found = re.search(r'<pre id="answer">(.+?)</pre>', result.stdout, re.DOTALL)
    if found is None:
        said = " ".join(result.stderr.split())[-200:]
        raise VerificationError(
            f"a page answers: received exit_code={result.returncode} and no answer from {command[0]} {said!r}; report it"
        )
    answer: dict[str, str] = json.loads(html.unescape(found[1]))
    return answer

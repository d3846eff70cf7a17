"""``understudy demo`` in a real browser: what the page answers is what the reference answers."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bundles import LABELS, make_bundle
from command import COMMAND, contents, understudy
from pages import READY, in_browser
from programs import sequence_program
from understudy.bundle import Bundle
from understudy.demo.server import open_server
from understudy.program.interpreter import run
from understudy.projections.text import encode
from wasm_tools import needs_wasm

pytestmark = needs_wasm
THRESHOLD = 0.45
BEST = "document.getElementById('best').textContent"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "16KB"
    make_bundle(folder, formats=("wasm",), threshold=THRESHOLD)
    return folder


@pytest.fixture(scope="module")
def url(bundle: Path) -> Iterator[str]:
    command = [*COMMAND, "demo", str(bundle), "--no-browser", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = ""
        for line in process.stdout:
            printed += line
            if line == "}\n":
                break
        yield json.loads(printed)["url"]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0


def expected(text: str) -> tuple[str, list[tuple[str, float]]]:
    """Return what the page calls best, and every label with its score, the best first."""
    row = run(sequence_program(), encode([text], max_bytes=64)).probabilities[0]
    pairs = [(LABELS[i], float(row[i])) for i in np.argsort(-row, kind="stable")]
    return pairs[0][0] if pairs[0][1] >= THRESHOLD else "none of these", pairs


def test_it_answers_as_one_types_and_works_with_the_keyboard_alone(url: str) -> None:
    typed = "move my meeting"
    rows = "[...document.querySelectorAll('#scores li')].map((row) => row.innerText.split('\\n').map((cell) => cell.trim()))"
    focus = "document.activeElement.id"
    best, first, shown, focused, after, button, everything, time, problem, colors = in_browser(
        url,
        READY,
        {"type": typed},
        {"evaluate": BEST},
        {"evaluate": focus},
        {"evaluate": rows},
        {"key": "Tab"},
        {"evaluate": focus},
        {"evaluate": "document.getElementById('more').textContent"},
        {"key": "Enter"},
        {"evaluate": "document.getElementById('more').getAttribute('aria-expanded')"},
        {"evaluate": rows},
        {"wait": "document.getElementById('time').textContent !== '–'"},
        {"evaluate": "document.getElementById('time').textContent"},
        {"evaluate": "document.getElementById('problem').hidden"},
        {"evaluate": "getComputedStyle(document.body).backgroundColor"},
    )
    name, pairs = expected(typed)
    assert best == name
    assert (first, focused) == ("text", "more")
    assert after == "Show all 7 classes"
    assert button == "true"
    assert len(shown) == 5
    assert shown == everything[:5]
    visible = {"tab\there": "tab\\there", "line\nbreak": "line\\nbreak"}
    assert everything == [[visible.get(label, label), f"{100 * score:.1f} %"] for label, score in pairs]
    assert re.fullmatch(r"[\d.]+ (µs|ms)", time)
    assert problem is True
    assert colors == "rgb(247, 247, 245)"


def test_a_text_behind_the_hash_is_answered_and_dark_is_dark(url: str) -> None:
    texts = ["", "Hello, World! what's up?", "naïve café", "x" * 300, "100%"]
    for text in texts:
        read, best, ground = in_browser(
            f"{url}#{text if text == '100%' else urllib.request.quote(text)}",  # a percent sign that was typed by hand
            {"dark": True},
            READY,
            {"evaluate": "document.getElementById('read').textContent"},
            {"evaluate": BEST},
            {"evaluate": "getComputedStyle(document.body).backgroundColor"},
        )
        length = len(text.encode())
        assert read == f"{length} bytes" + (", the first 64 are read" if length > 64 else " of 64 that are read")
        assert best == expected(text)[0].replace("\t", "\\t").replace("\n", "\\n")
        assert ground == "rgb(19, 21, 24)"


def test_the_texts_of_these_tests_are_on_both_sides_of_the_threshold() -> None:
    found = {expected(text)[0] == "none of these" for text in ("move my meeting", "", "Hello, World! what's up?", "naïve café")}
    assert found == {True, False}


def test_the_page_may_load_nothing_from_elsewhere(url: str) -> None:
    with urllib.request.urlopen(url) as response:
        page = response.read().decode()
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page
    assert not re.search(r"(https?:)?//[a-z0-9.-]+\.[a-z]{2,}/", page)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{url}manifest.json")
    with urllib.request.urlopen(f"{url}model.wasm") as response:
        assert response.headers["Content-Type"] == "application/wasm"


def test_plain_files_are_what_is_served(bundle: Path, url: str, tmp_path: Path) -> None:
    outcome = understudy("demo", bundle, "--out", tmp_path / "site", "--json")
    assert outcome.exit_code == 0, outcome.err
    files = contents(tmp_path / "site")
    assert json.loads(outcome.out)["files"] == {name: len(content) for name, content in files.items()}
    assert set(files) == {"index.html", "model.wasm", "model.mjs"}
    assert files["model.wasm"] == (bundle / "model.wasm").read_bytes()
    for name, content in files.items():
        with urllib.request.urlopen(url + name) as response:
            assert response.read() == content
    assert understudy("demo", bundle, "--out", tmp_path / "site").exit_code == 0


def test_a_page_of_somebody_else_is_not_written_over(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    for name in ("index.html", "model.wasm"):
        mine = tmp_path / "site" / name
        mine.write_text("<!doctype html><title>mine</title>")
        outcome = understudy("demo", bundle, "--out", "site", folder=tmp_path)
        assert outcome.exit_code == 2
        assert outcome.err == (
            f"error: a page has a folder of its own: received out='site' with {name!r} in it; choose another --out\n"
        )
        assert contents(tmp_path / "site") == {name: b"<!doctype html><title>mine</title>"}
        mine.unlink()


def test_a_page_opened_as_a_file_says_that_it_needs_a_server(bundle: Path, url: str, tmp_path: Path) -> None:
    assert understudy("demo", bundle, "--out", tmp_path / "site").exit_code == 0
    shown = "document.getElementById('problem')"
    (problem,) = in_browser(
        (tmp_path / "site" / "index.html").as_uri(),
        {"wait": f"{shown}?.checkVisibility()"},
        {"evaluate": f"{shown}.innerText"},
    )
    assert problem.startswith("This page needs a web server")
    assert "understudy demo BUNDLE" in problem
    assert "python -m http.server" in problem
    (hidden,) = in_browser(url, READY, {"evaluate": f"{shown}.hidden"})
    assert hidden is True


def test_a_bundle_without_webassembly_gets_one_for_the_page(bundle: Path, tmp_path: Path) -> None:
    make_bundle(tmp_path / "c", formats=("c",), threshold=THRESHOLD)
    before = contents(tmp_path / "c")
    assert understudy("demo", tmp_path / "c", "--out", tmp_path / "site").exit_code == 0
    assert (tmp_path / "site" / "model.wasm").read_bytes() == (bundle / "model.wasm").read_bytes()
    assert contents(tmp_path / "c") == before


def test_webassembly_in_float_runs_as_it_is(bundle: Path, tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "float", formats=("wasm_float",), threshold=THRESHOLD).folder
    assert understudy("demo", bundle, "--out", tmp_path / "site").exit_code == 0
    assert understudy("demo", folder, "--out", tmp_path / "site").exit_code == 0
    files = contents(tmp_path / "site")
    assert set(files) == {"index.html", "model_float.wasm", "model_float.mjs"}
    assert all(files[name] == (folder / name).read_bytes() for name in ("model_float.wasm", "model_float.mjs"))
    server = open_server(files, port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    best, problem = in_browser(
        f"http://{server.server_address[0]!s}:{server.server_address[1]}/#hello",
        READY,
        {"evaluate": BEST},
        {"evaluate": "document.getElementById('problem').hidden"},
    )
    server.shutdown()
    server.server_close()
    [answer] = Bundle.open(folder).predict(["hello"], format="wasm_float")
    assert (best, problem) == (answer.label or "none of these", True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--out", "full"), 2, "received out='full' with 'letter.txt' in it; choose another --out"),
        (("--out", "full/letter.txt"), 4, "received out='full/letter.txt'"),
        (("--port", "99999", "--no-browser"), 2, "less than or equal to 65535: received --port='99999'"),
        (("--port", "-1", "--no-browser"), 2, "greater than or equal to 0: received --port='-1'"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    bundle: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    outcome = understudy("demo", bundle, *arguments, folder=tmp_path)
    assert outcome.exit_code == code
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert (tmp_path / "full" / "letter.txt").read_text() == "mine"


def test_a_port_that_is_taken_is_one_line(bundle: Path, url: str) -> None:
    port = url.rstrip("/").rpartition(":")[2]
    outcome = understudy("demo", bundle, "--port", port, "--no-browser")
    assert outcome.exit_code == 4
    assert outcome.err == (
        f"error: a page needs a free port: received port={port} (Address already in use); choose another --port, or 0 for any\n"
    )

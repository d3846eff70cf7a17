"""The page for images: what is drawn or chosen becomes the model's pixels, and the answer is the reference's."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from bundles import LABELS, make_bundle
from image_programs import image_program
from pages import READY, in_browser
from understudy.data.picture import pixels_of
from understudy.demo.page import demo_files
from understudy.demo.server import open_server
from understudy.errors import InputError
from understudy.program.interpreter import run
from understudy.program.ops import Program
from wasm_tools import needs_wasm

RESIZE = Path(__file__).parents[2] / "src" / "understudy" / "demo" / "resize.js"
GREY, COLOUR = image_program(shape=(20, 24, 1)), image_program(shape=(12, 10, 3))
BEST = {"evaluate": "document.getElementById('best').textContent"}
PIXELS = {
    "evaluate": "(({ width, height }) => [height, width, [...document.getElementById('seen').getContext('2d')"
    ".getImageData(0, 0, width, height).data]])(document.getElementById('seen'))"
}
READ = {"evaluate": "document.getElementById('read').textContent"}


def picture(folder: Path, size: tuple[int, int], *, mode: str = "RGB", seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    path = folder / f"{size[0]}x{size[1]}{mode}.png"
    Picture.fromarray(noise).convert(mode).save(path)
    return path


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (24, 32, 3), (7, 5, 3)])
def test_pictures_are_resized_as_pillow_does_it(shape: tuple[int, int, int], tmp_path: Path) -> None:
    """The very script of the page, in Node."""
    if shutil.which("node") is None:
        pytest.skip("this test needs node")
    sizes = [(shape[1], shape[0]), (100, 60), (61, 233), (33, 33), (5, 4), (1, 1), (640, 3)]
    paths = [picture(tmp_path, size, seed=i) for i, size in enumerate(sizes)]
    cases = []
    for path in paths:
        rgba = np.asarray(Picture.open(path).convert("RGBA"))
        cases.append({"width": rgba.shape[1], "height": rgba.shape[0], "data": rgba.ravel().tolist()})
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    code = (
        RESIZE.read_text(encoding="utf-8")
        + 'const cases = JSON.parse((await import("node:fs")).readFileSync("cases.json"));\n'
        + f"console.log(JSON.stringify(cases.map((each) => [...pixelsOf(each, {list(shape)})])));\n"
    )
    command = ["node", "--input-type=module", "--eval", code]
    answer = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    for path, size, found in zip(paths, sizes, answer, strict=True):
        expected = pixels_of(path, shape=shape).ravel().astype(int)
        assert np.abs(np.array(found) - expected).max() <= 1, path.name
        if size[0] * shape[0] >= size[1] * shape[1]:  # where every version of Pillow goes across first
            assert found == expected.tolist(), path.name


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Pages for a grey and for a colour model."""
    served, found = [], {}
    for name, program in (("grey", GREY), ("colour", COLOUR)):
        bundle = make_bundle(tmp_path_factory.mktemp("demo") / name, program=program, formats=("wasm",))
        server = open_server(demo_files(bundle), port=0)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        served.append(server)
        found[name] = f"http://{server.server_address[0]!s}:{server.server_address[1]}/"
    yield found
    for server in served:
        server.shutdown()
        server.server_close()


def seen(shown: list[Any], channels: int) -> np.ndarray:
    """Return the pixels that the page shows as the model's, uint8 ``[H, W, C]``."""
    height, width, data = shown
    return np.array(data, np.uint8).reshape(height, width, 4)[..., :channels]


def label(program: Program, pixels: np.ndarray) -> str:
    name = LABELS[int(run(program, pixels[None]).probabilities[0].argmax())]
    return name.replace("\t", "\\t").replace("\n", "\\n")


@needs_wasm
def test_a_drawing_is_answered_and_the_keyboard_draws_too(urls: dict[str, str]) -> None:
    line = [[0.5, 0.2], [0.5, 0.5], [0.55, 0.8]]
    strokes = [{"key": "ArrowRight"}] * 6 + [{"key": "ArrowDown"}] * 6
    (
        empty,
        drawn,
        best,
        swapped,
        best_swapped,
        raw,
        cleared,
        pen_only,
        keyed,
        best_keyed,
        deleted,
        problem,
        time,
    ) = in_browser(
        urls["grey"],
        READY,
        BEST,
        {"drag": line, "on": "#pad"},
        PIXELS,
        BEST,
        {"do": "document.getElementById('swap').click()"},
        PIXELS,
        BEST,
        {"do": "document.getElementById('swap').click()"},
        {"do": "fit.value = 'as drawn', fit.dispatchEvent(new Event('change'))"},
        PIXELS,
        {"do": "document.getElementById('clear').click()"},
        BEST,
        {"do": "document.getElementById('pad').focus()"},
        {"key": "ArrowLeft", "shift": True},
        BEST,
        *strokes,
        PIXELS,
        BEST,
        {"key": "Delete"},
        BEST,
        {"evaluate": "document.getElementById('problem').hidden"},
        {"drag": line, "on": "#pad"},
        {"wait": "document.getElementById('time').textContent !== '–'"},
        {"evaluate": "document.getElementById('time').textContent"},
    )
    assert empty == cleared == pen_only == deleted == "nothing yet"
    pixels = seen(drawn, 1)
    assert pixels.shape == GREY.source.input_shape
    rows, columns = np.nonzero(pixels[..., 0])
    assert abs(rows.mean() - 9.5) < 0.7
    assert abs(columns.mean() - 11.5) < 0.7
    assert 13 <= rows.max() - rows.min() + 1 <= 17, "20/28 of the height, and the soft edges of the pen"
    assert best == label(GREY, pixels)
    assert (seen(swapped, 1) == 255 - pixels).all()
    assert best_swapped == label(GREY, seen(swapped, 1))
    as_drawn = np.nonzero(seen(raw, 1)[..., 0])[0]
    assert as_drawn.min() >= 2
    assert not np.array_equal(seen(raw, 1), pixels)
    assert seen(keyed, 1).any()
    assert best_keyed == label(GREY, seen(keyed, 1))
    assert re.fullmatch(r"[\d.]+ (µs|ms)", time)
    assert problem is True


@needs_wasm
@pytest.mark.parametrize(("name", "program"), [("grey", GREY), ("colour", COLOUR)])
def test_a_chosen_picture_becomes_what_predict_reads(name: str, program: Program, urls: dict[str, str], tmp_path: Path) -> None:
    channels = program.source.input_shape[2]
    good = picture(tmp_path, (131, 90))
    expected = pixels_of(good, shape=program.source.input_shape)
    (tmp_path / "letter.png").write_text("no picture")
    wait = {"wait": f"document.getElementById('best').textContent === {json.dumps(label(program, expected))}"}
    small = picture(tmp_path, (30, 21))
    file = f"new File([new Uint8Array({list(small.read_bytes())})], 'small.png')"
    dropped = (
        f"const given = new DataTransfer(); given.items.add({file});"
        "dispatchEvent(new DragEvent('drop', { dataTransfer: given }))"
    )
    shown, read, problem, drawable, again = in_browser(
        urls[name],
        READY,
        {"file": str(good), "on": "#file"},
        wait,
        PIXELS,
        READ,
        {"file": str(tmp_path / "letter.png"), "on": "#file"},
        {"wait": "!document.getElementById('problem').hidden"},
        {"evaluate": "document.getElementById('problem').textContent"},
        {"evaluate": "document.getElementById('pad').tabIndex === 0"},
        {"do": dropped},
        {"wait": "document.getElementById('read').textContent.includes('30 × 21')"},
        PIXELS,
    )
    assert (seen(shown, channels) == expected).all()
    assert (seen(again, channels) == pixels_of(small, shape=program.source.input_shape)).all()
    height, width, _ = program.source.input_shape
    assert read == f"cut and scaled from 131 × 90 to {width} × {height} pixels, {name}"
    assert problem == "This browser reads no picture in letter.png."
    assert drawable is (name == "grey")


def test_images_that_no_picture_has_are_refused(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b", program=image_program(shape=(9, 7, 2)), formats=("c",))
    with pytest.raises(InputError, match="a page has grey or colour pictures: received .* with channels=2; use understudy"):
        demo_files(bundle)

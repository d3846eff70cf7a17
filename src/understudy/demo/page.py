"""A bundle as the plain files of one page: ``index.html``, a WebAssembly module and its loader."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import jinja2

from understudy.bundle import Bundle
from understudy.errors import InputError, SetupError
from understudy.export.registry import exporter
from understudy.export.wasm_float import MODULES
from understudy.export.wasm_loader import loader_name
from understudy.files import write_bytes
from understudy.units import format_bytes

GENERATOR = b'<meta name="generator" content="understudy demo">'
"""By this a page is known that may be written over."""
PAGE = "index.html"
DRAWABLE_SIDE = 64
"""Larger images, and colour ones, are pictures, not drawings."""


@dataclass(frozen=True)
class About:
    """What the page says about its model."""

    name: str
    classes: int
    shape: tuple[int, int, int] | None
    threshold: float | None
    module: str
    loader: str
    wasm_bytes: int
    loader_bytes: int


def demo_files(bundle: Bundle) -> dict[str, bytes]:
    """Return file name to content of a page for ``bundle``: its own WebAssembly, also in float, or some made for the page.

    Raises:
        InputError: the model reads images of which a browser has none, or numbers, which nobody types, or sounds.
        SetupError: the bundle holds no WebAssembly model, and what writes one is not installed.
        BundleError: the bundle holds neither a WebAssembly model nor its program.
    """
    if bundle.manifest.sound is not None:
        raise InputError(
            f"a page has texts or pictures so far: received bundle={str(bundle.folder)!r}, which reads sounds; "
            "use understudy predict with a .wav, or model.mjs of --format wasm in a page of your own"
        )
    shape = bundle.manifest.image_shape
    if bundle.manifest.input_shape is not None:
        raise InputError(
            f"a page has texts to type and pictures to draw or drop: received bundle={str(bundle.folder)!r}, which reads "
            f"{bundle.manifest.examples}; use understudy predict with an .npy or .npz"
        )
    if shape is not None and shape[2] not in (1, 3):
        raise InputError(
            f"a page has grey or colour pictures: received bundle={str(bundle.folder)!r} with channels={shape[2]}; "
            "use understudy predict with an .npz"
        )
    held = next((name for name in MODULES if name in bundle.formats), None)
    module = MODULES[held or "wasm"]
    loader = loader_name(module)
    if held:
        files = {name: bundle.read(name) for name in (module, loader)}
    else:
        files = exporter("wasm").export(bundle.program(), name=bundle.manifest.name, labels=bundle.labels)
    about = About(
        name=bundle.manifest.name,
        classes=len(bundle.labels),
        shape=shape,
        threshold=bundle.manifest.threshold,
        module=module,
        loader=loader,
        wasm_bytes=len(files[module]),
        loader_bytes=len(files[loader]),
    )
    return {PAGE: _render(about).encode(), **files}


def write_demo(files: dict[str, bytes], folder: Path) -> None:
    """Write the ``files`` of a page into ``folder``, which is new, empty, or holds an older page.

    An older page's model of another format is taken away: nothing would load it.

    Raises:
        InputError: the folder holds something else, also another page of the same name.
        SetupError: it cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in folder.iterdir()}
        ours = PAGE in names and (folder / PAGE).is_file() and GENERATOR in (folder / PAGE).read_bytes()
        models = {name for module in MODULES.values() for name in (module, loader_name(module))} - set(files)
        older = {name for name in models & names if ours and (folder / name).is_file()}
        other = sorted(names - older - set(files) if ours else names)
    except OSError as error:
        raise SetupError(
            f"a page needs a folder that can be written: received out={str(folder)!r} ({error.strerror}); choose another --out"
        ) from None
    if other:
        raise InputError(
            f"a page has a folder of its own: received out={str(folder)!r} with {other[0]!r} in it; choose another --out"
        )
    for name, content in files.items():
        write_bytes(folder / name, content)
    for name in older:
        (folder / name).unlink()


def _render(about: About) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["size"] = format_bytes
    drawable = about.shape is not None and about.shape[2] == 1 and max(about.shape) <= DRAWABLE_SIDE
    scripts = (*(("resize.js", "image_input.js") if about.shape else ("text_input.js",)), "page.js")
    return environment.get_template("page.html.j2").render(about=asdict(about), drawable=drawable, scripts=scripts)

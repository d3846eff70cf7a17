"""``understudy demo``: one static page that runs a bundle's WebAssembly model as you type or draw."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from understudy.cli.opening import TrustOption
from understudy.cli.output import JsonFlag, print_json
from understudy.units import format_bytes

DEFAULT_PORT = 8700


def demo(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle folder, such as runs/intents/32KB.")],
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="Port of the page on this machine; 0 for any free one.")
    ] = DEFAULT_PORT,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the page as plain files for any web server, and serve nothing.")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    trust: TrustOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show a bundle for texts or images in a page that runs it as you type, or on what you draw or drop.

    The page works offline and sends nothing. Where the bundle holds no WebAssembly model, one is made for the page.
    """
    from understudy.bundle import Bundle
    from understudy.demo.page import demo_files, write_demo
    from understudy.demo.server import open_server

    opened = Bundle.open(bundle, trusted=trust)
    opened.require_plain("demo")
    files = demo_files(opened)
    sizes = {name: len(content) for name, content in files.items()}
    if out is not None:
        write_demo(files, out)
        if as_json:
            print_json({"bundle": str(bundle), "out": str(out), "files": sizes})
            return
        for name, size_bytes in sizes.items():
            typer.echo(f"{out / name}, {format_bytes(size_bytes)}")
        return
    with open_server(files, port=port) as server:
        url = f"http://{server.server_address[0]!s}:{server.server_address[1]}/"
        if as_json:
            print_json({"bundle": str(bundle), "url": url, "files": sizes})
        else:
            typer.echo(f"{url} runs {bundle}; Ctrl-C ends it")
        sys.stdout.flush()
        if browser:
            import webbrowser

            webbrowser.open(url)
        with contextlib.suppress(KeyboardInterrupt):  # the usual end
            server.serve_forever()

"""Serves the few files of a page to this machine's browsers, from memory and offline."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from understudy.errors import SetupError

HOST = "127.0.0.1"
_TYPES = {"html": "text/html; charset=utf-8", "mjs": "text/javascript; charset=utf-8", "wasm": "application/wasm"}


def open_server(files: Mapping[str, bytes], *, port: int) -> ThreadingHTTPServer:
    """Return a server of ``files`` (file name to content) that only this machine reaches; ``serve_forever`` runs it.

    Args:
        files: what it serves, ``index.html`` also as ``/``.
        port: 0 for any free one.

    Raises:
        SetupError: the port is taken or not allowed.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Answer with one of the files."""
            name = self.path.partition("?")[0].removeprefix("/") or "index.html"
            content = files.get(name)
            if content is None:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", _TYPES[name.rpartition(".")[2]])
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-cache")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Stay silent: the terminal belongs to the command."""

    try:
        return ThreadingHTTPServer((HOST, port), Handler)
    except (OSError, OverflowError) as error:
        raise SetupError(
            f"a page needs a free port: received port={port} ({getattr(error, 'strerror', None) or error}); "
            "choose another --port, or 0 for any"
        ) from None

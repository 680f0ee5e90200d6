"""A server on the loopback address that misbehaves as it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Web:
    """What it serves and how.

    Attributes:
        files: path -> content.
        etag: the version it names; empty for none.
        cuts: of the answers to come, after how many bytes each is cut; then none is.
        status: path -> an answer without content, of this number.
        moved: path -> where it sends on to.
        kind: content type of everything.
        counted: tells how long a file is.
        asked: (path, Range or None) of each request so far.
    """

    def __init__(self, **files: bytes) -> None:
        self.files = {f"/{name.replace('__', '.')}": content for name, content in files.items()}
        self.etag = '"v1"'
        self.cuts: list[int] = []
        self.status: dict[str, int] = {}
        self.moved: dict[str, str] = {}
        self.kind = "application/octet-stream"
        self.counted = True
        self.asked: list[tuple[str, str | None]] = []
        self.address = ""


@contextmanager
def serving(web: Web) -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            web.asked.append((path, self.headers.get("Range")))
            if path in web.moved:
                self.send_response(302)
                self.send_header("Location", web.moved[path])
                self.end_headers()
            elif path in web.status or path not in web.files:
                self.send_error(web.status.get(path, 404))
            else:
                self._send(web.files[path])

        def _send(self, content: bytes) -> None:
            start = 0
            if self.headers.get("Range") and self.headers.get("If-Range") == web.etag:
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(content) > 0:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if web.counted:
                self.send_header("Content-Length", str(len(content) - start))
            if web.etag:
                self.send_header("ETag", web.etag)
            self.send_header("Content-Type", web.kind)
            self.end_headers()
            self.wfile.write(content[start:][: web.cuts.pop(0) if web.cuts else None])

        def log_message(self, *_: object) -> None:
            """Nothing on the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    web.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""The local page: draw or drop a picture, and see what a network sees of it and how it classifies it.

Python's own HTTP server is enough for one person on one machine. It listens only on 127.0.0.1, answers only
requests that use this address and come from its own page, so that no other page can use it, and ends no
request with a traceback: a refusal is one sentence of JSON.
"""

import base64
import contextlib
import io
import json
import re
import signal
import socket
import sys
import threading
import traceback
import webbrowser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any

import numpy as np

from jaxnets.data.formats.images import THRESHOLD
from jaxnets.errors import UserError
from jaxnets.runs import Run
from jaxnets.runs.predict import guesses, look

HOST = "127.0.0.1"
MOST_BYTES = 10_000_000  # of a picture
MOST_PIXELS = 50_000_000  # a few kilobytes can encode more than fits in memory
SECONDS = 20  # how long a request may keep its thread waiting

FILES = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js"}
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Refused(Exception):
    """A request that is answered with an error, in one sentence."""

    def __init__(self, status: HTTPStatus, sentence: str, **headers: str):
        super().__init__(sentence)
        self.status, self.headers = status, headers


class Page(ThreadingHTTPServer):
    """Serves the page of one run; see `serve_until`.

    Args:
        run: The run, from `load_image_run`.
        port: Port to listen on; 0 for any free one, given by `server_port`.

    Raises:
        UserError: If the port is taken, may not be used, or is not a port number.
    """

    def __init__(self, run: Run, port: int):
        self.run = run
        self.one_at_a_time = threading.Lock()  # one picture in memory, and one program on the device
        try:
            super().__init__((HOST, port), Handler)
        except OverflowError as error:
            raise UserError(f"port {port}: it must be 0 to 65535") from error
        except OSError as error:
            raise UserError(
                f"port {port} of {HOST} is not available ({error.strerror}): give another --port, or 0 for "
                "any free one"
            ) from error
        self.answer(_png(np.zeros(run.features.shape, np.uint8)))  # compiles it before anybody waits

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_port}/"

    def about(self) -> dict[str, Any]:
        """Returns what the page needs to know about the network."""
        config = self.run.config
        return {
            "model": config["model"],
            "dataset": config["dataset"],
            "classes": self.run.features.classes,
            "shape": self.run.features.shape,
            "ink": config["input"].get("ink"),
            "ink_span": config.get("ink_span"),
            "threshold": THRESHOLD,
            "most_bytes": MOST_BYTES,
        }

    def answer(self, picture: bytes) -> dict[str, Any]:
        """Returns what the network sees of an image file, and all classes by falling probability.

        Raises:
            UserError: If it is not an image, or is too large.
        """
        with self.one_at_a_time:
            seen = look(self.run, io.BytesIO(picture), "the picture", largest=MOST_PIXELS).seen
            (found,) = guesses(self.run, [seen])
        return {
            "seen": f"data:image/png;base64,{base64.b64encode(_png(seen)).decode()}",
            "guesses": [{"label": guess.label, "probability": guess.probability} for guess in found],
        }

    def serve_until(self, ended: threading.Event) -> None:
        """Answers requests until `ended` is set, by a signal handler or another thread.

        When it returns, no answer is being computed and none will be: a thread that computes while Python
        exits aborts the process.
        """
        self.timeout = 0.1  # seconds between two looks at `ended`
        while not ended.is_set():
            self.handle_request()
        self.one_at_a_time.acquire()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores a client that hangs up in the middle of an answer."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection of a `Page`."""

    protocol_version = "HTTP/1.1"
    timeout = SECONDS
    server: Page

    def _respond(self) -> None:
        try:
            self._check_host()
            self._send(HTTPStatus.OK, *self._content())
        except Refused as refusal:
            self._refuse(refusal.status, str(refusal), refusal.headers)
        except UserError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception:
            traceback.print_exc()
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "a bug in jaxnets: see the terminal for details")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _respond

    def _check_host(self) -> None:
        """Refuses requests by another site's name (DNS rebinding) or from another site's page."""
        ours = {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if host not in ours or (origin is not None and origin.removeprefix("http://") not in ours):
            raise Refused(HTTPStatus.FORBIDDEN, f"this page answers only to itself, at {self.server.url}")

    def _content(self) -> tuple[bytes, str]:
        path = self.path.split("?")[0]
        if path not in (*FILES, "/about", "/answer"):
            raise Refused(HTTPStatus.NOT_FOUND, f"there is nothing at {path[:80]}")
        allowed = ("POST",) if path == "/answer" else ("GET", "HEAD")
        if self.command not in allowed:
            listed = ", ".join(allowed)
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} takes {listed} only", Allow=listed)
        if path == "/answer":
            return json.dumps(self.server.answer(self._body())).encode(), "application/json"
        if path == "/about":
            return json.dumps(self.server.about()).encode(), "application/json"
        name = FILES[path]
        return resources.files(__package__).joinpath(name).read_bytes(), TYPES[name.split(".")[1]]

    def _body(self) -> bytes:
        stated = self.headers.get("Content-Length")
        if stated is None:
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "a picture must come with its Content-Length")
        if not re.fullmatch("[0-9]{1,15}", stated) or int(stated) == 0:
            raise Refused(
                HTTPStatus.BAD_REQUEST, f"Content-Length {stated[:20]}: it must be a picture's size"
            )
        if int(stated) > MOST_BYTES:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"a picture of {int(stated):,} bytes is too large: {MOST_BYTES:,} at most",
            )
        body = self.rfile.read(int(stated))
        if len(body) < int(stated):
            raise Refused(HTTPStatus.BAD_REQUEST, "the picture was cut off on its way")
        return body

    def _refuse(self, status: HTTPStatus, sentence: str, headers: dict[str, str] | None = None) -> None:
        self.close_connection = True  # the rest of its body would be read as the next request
        self._send(status, json.dumps({"error": sentence}).encode(), "application/json", headers)
        with contextlib.suppress(OSError):  # closing with unread bytes would discard the answer
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(1)
            for _ in range(4 * MOST_BYTES // 65536):
                if not self.connection.recv(65536):
                    break

    def _send(
        self, status: HTTPStatus, content: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        own = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(content))}
        for name, value in (HEADERS | own | (headers or {})).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answers a request that the base class refuses before a method of this class sees it."""
        self.request_version = self.protocol_version  # it may not be set yet
        self._refuse(HTTPStatus(code), f"{message or HTTPStatus(code).phrase}: not a request of this page")

    def version_string(self) -> str:
        """Returns a name that does not reveal Python's version."""
        return "jaxnets"

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing, to keep the terminal clear."""


def _png(image: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG")
    return file.getvalue()


def serve(run: Run, port: int, *, show: bool = False) -> None:
    """Serves the page until Ctrl-C.

    Args:
        run: The run, from `load_image_run`.
        port: Port of 127.0.0.1 to listen on; 0 for any free one.
        show: Whether to open the page in the browser.

    Raises:
        UserError: If the port is not available.
    """
    before = signal.getsignal(signal.SIGINT)
    ended = threading.Event()
    try:
        with Page(run, port) as page:
            # An exception would get lost if the signal came during garbage collection.
            signal.signal(signal.SIGINT, lambda *_: ended.set())
            trained = f"{run.config['model']}, trained on {run.config['dataset'] or 'unknown data'}"
            print(f"{trained}: {page.url} (Ctrl-C stops it)", flush=True)
            if show:
                threading.Thread(target=webbrowser.open, args=(page.url,), daemon=True).start()
            page.serve_until(ended)
    except KeyboardInterrupt:  # before the page was up
        pass
    finally:
        signal.signal(signal.SIGINT, before)
    print("\nended")

"""Requests to the page: whom it answers, what it takes, and for how long it waits.

It answers only requests that use its address and come from its own page, so that no other page can use it,
takes so much and waits so long and no longer, and ends no request with a traceback: a refusal is one
sentence of JSON. Where other devices can reach it, every address begins with a token, and without that
there is nothing but a refusal.
"""

import contextlib
import hmac
import io
import ipaddress
import json
import re
import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from jaxnets.errors import UserError

if TYPE_CHECKING:
    from jaxnets.app.server import Page

MOST_BYTES = 10_000_000  # of a picture
SECONDS = 20  # how long a request, its picture, a free place or the taking of an answer is waited for

UNINVITED = "this page answers only to the whole address that the terminal shows"

FILES = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js", "/paper.js": "paper.js"}
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Refused(Exception):
    """A request that is answered with an error, in one sentence."""

    def __init__(self, status: HTTPStatus, sentence: str, **headers: str):
        super().__init__(sentence)
        self.status, self.headers = status, headers


class Incoming(io.RawIOBase):
    """What a client sends, read until a moment at which all of it must be there.

    A time limit of the socket alone would begin anew with every byte.

    Args:
        connection: The socket.
    """

    def __init__(self, connection: socket.socket):
        self.connection = connection
        self.wait()

    def wait(self) -> None:
        """Waits `SECONDS` from now on, and no longer."""
        self.end = time.monotonic() + SECONDS

    def readable(self) -> bool:
        """Returns True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Reads what is there into the buffer.

        Raises:
            TimeoutError: If the moment has come.
        """
        self.connection.settimeout(max(self.end - time.monotonic(), 0.001))
        return self.connection.recv_into(buffer)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection of a `Page`."""

    protocol_version = "HTTP/1.1"
    server: "Page"

    def setup(self) -> None:
        """Sets a time limit for whatever the client sends."""
        super().setup()
        self.incoming = Incoming(self.connection)
        self.rfile = io.BufferedReader(self.incoming)

    def handle_one_request(self) -> None:
        """Answers one request of the connection."""
        self.incoming.wait()
        super().handle_one_request()

    def _respond(self) -> None:
        try:
            path, query = self._asked()
            self._check_host()
            self._send(HTTPStatus.OK, *self._content(path, query))
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

    def _asked(self) -> tuple[str, str]:
        """Returns what is asked for, without the token, and the query; refuses whoever lacks the token."""
        path, _, query = self.path.partition("?")
        if not self.server.token:
            return path, query
        token, slash, rest = path.removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            raise Refused(HTTPStatus.FORBIDDEN, UNINVITED)
        if not slash:  # the page's own links would lose the token
            there = {"Location": f"/{token}/"}
            raise Refused(HTTPStatus.PERMANENT_REDIRECT, "the address ends with a slash", **there)
        return f"/{rest}", query

    def _check_host(self) -> None:
        """Refuses requests by another site's name (DNS rebinding) or from another site's page.

        Those with a token may come by any number: other devices may see this machine at another one than it
        does (containers, virtual machines), and no site can make a number mean another machine.
        """
        hosts, origins = (self.headers.get_all(name, []) for name in ("Host", "Origin"))
        ours = self.server.names
        if self.server.token:
            ours = ours | set(filter(_is_number, hosts))
        if len(hosts) != 1 or not {*hosts, *(one.removeprefix("http://") for one in origins)} <= ours:
            at = "the address that the terminal shows" if self.server.token else self.server.url
            raise Refused(HTTPStatus.FORBIDDEN, f"this page answers only to itself, at {at}")

    def _content(self, path: str, query: str) -> tuple[bytes, str]:
        if path not in (*FILES, "/about", "/examples", "/answer"):
            raise Refused(HTTPStatus.NOT_FOUND, f"there is nothing at {path[:80]}")
        allowed = ("POST",) if path == "/answer" else ("GET", "HEAD")
        if self.command not in allowed:
            listed = ", ".join(allowed)
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} takes {listed} only", Allow=listed)
        if path == "/answer":
            run = self._run(query)
            with self._place():
                return json.dumps(self.server.answer(self._body(), run)).encode(), "application/json"
        if path in FILES:
            name = FILES[path]
            return resources.files(__package__).joinpath(name).read_bytes(), TYPES[name.split(".")[1]]
        told = self.server.about() if path == "/about" else self.server.examples
        return json.dumps(told).encode(), "application/json"

    def _run(self, query: str) -> int:
        """Returns which run is asked: ?run=1 is the second one."""
        asked, count = parse_qs(query, keep_blank_values=True).get("run", ["0"]), len(self.server.runs)
        if len(asked) > 1 or not re.fullmatch("[0-9]{1,3}", asked[0]) or int(asked[0]) >= count:
            raise Refused(HTTPStatus.BAD_REQUEST, f"run={asked[0][:20]!a}: it must be 0 to {count - 1}")
        return int(asked[0])

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Holds one of the places for pictures in memory."""
        if not self.server.places.acquire(timeout=SECONDS):
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many pictures at once: try again")
        try:
            self.incoming.wait()
            yield
        finally:
            self.server.places.release()

    def _body(self) -> bytes:
        stated = self.headers.get_all("Content-Length", [])
        if not stated or "Transfer-Encoding" in self.headers:
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "a picture must come with its Content-Length")
        if len(stated) > 1 or not re.fullmatch("[0-9]{1,15}", stated[0]) or int(stated[0]) == 0:
            said = ", ".join(stated)[:20]
            raise Refused(HTTPStatus.BAD_REQUEST, f"Content-Length {said}: it must be a picture's size")
        size = int(stated[0])
        if size > MOST_BYTES:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"a picture of {size:,} bytes is too large: {MOST_BYTES:,} at most",
            )
        try:
            body = self.rfile.read(size)
        except TimeoutError as error:
            raise Refused(
                HTTPStatus.REQUEST_TIMEOUT, f"the picture was not here after {SECONDS} seconds"
            ) from error
        if len(body) < size:
            raise Refused(HTTPStatus.BAD_REQUEST, "the picture was cut off on its way")
        return body

    def _refuse(self, status: HTTPStatus, sentence: str, headers: dict[str, str] | None = None) -> None:
        self.close_connection = True  # the rest of its body would be read as the next request
        self._send(status, json.dumps({"error": sentence}).encode(), "application/json", headers)
        with contextlib.suppress(OSError):  # closing with unread bytes would discard the answer
            self.connection.shutdown(socket.SHUT_WR)
            end = time.monotonic() + 2
            while (left := end - time.monotonic()) > 0:
                self.connection.settimeout(min(left, 1))
                if not self.connection.recv(65536):
                    break

    def _send(
        self, status: HTTPStatus, content: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        self.connection.settimeout(SECONDS)
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
        if self.server.token:
            self._refuse(HTTPStatus.FORBIDDEN, UNINVITED)
        else:
            said = message or HTTPStatus(code).phrase
            self._refuse(HTTPStatus(code), f"{said}: not a request of this page")

    def version_string(self) -> str:
        """Returns a name that does not reveal Python's version."""
        return "jaxnets"

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing, to keep the terminal clear."""


def _is_number(host: str) -> bool:
    """Returns whether a Host is an address in numbers, or localhost, with or without a port."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:]*))(?::[0-9]+)?", host)
    name = found and (found[1] or found[2])
    if name in (None, "localhost"):
        return name is not None
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(name))
    return False

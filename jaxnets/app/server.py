"""The local page: draw or drop a picture, and see what networks see of it and what they predict.

Python's own HTTP server is enough for the people in a room. It listens on 127.0.0.1, or where it is told to.
"""

import base64
import contextlib
import io
import signal
import socketserver
import sys
import threading
import webbrowser
from collections.abc import Mapping, Sequence
from http.server import ThreadingHTTPServer
from typing import Any

import numpy as np

from jaxnets.app.address import HOST, find_address
from jaxnets.app.examples import Example
from jaxnets.app.handler import MOST_BYTES, Handler
from jaxnets.errors import UserError
from jaxnets.runs import Run
from jaxnets.runs.predict import guesses, look

MOST_PIXELS = 50_000_000  # of a picture: a few kilobytes can encode more than fits in memory
PICTURES = 16  # in memory at a time; others wait on their way
CLIENTS = 256  # connected at a time, each with a thread

WARNING = (
    "warning: other devices in this network can reach this page. Whoever has its whole address can use it, "
    "and pictures travel unencrypted: use --host only in a network that you trust"
)
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Page(ThreadingHTTPServer):
    """Serves the page of one run, or of several that are compared; see `serve_until`.

    Args:
        runs: The runs, from `load_image_run`, by the names that distinguish them.
        port: Port to listen on; 0 for any free one, given by `server_port`.
        host: Address or name of this machine to listen on, or 0.0.0.0 for all that it has. If other devices
            can reach it, the page's address has a `token` without which nothing is answered.
        examples: Images to try.

    Raises:
        UserError: If the port is taken, may not be used, or is not a port number, or the host is not this
            machine's.
    """

    request_queue_size = 128  # connections that the system keeps until they are accepted

    def __init__(
        self, runs: Mapping[str, Run], port: int, host: str = HOST, examples: Sequence[Example] = ()
    ):
        self.runs = dict(runs)
        self.examples = [{"image": _url(one.image), "label": one.label} for one in examples]
        self.one_at_a_time = threading.Lock()  # one picture is decoded, and one program runs on the device
        self.places = threading.BoundedSemaphore(PICTURES)
        self.connections = threading.BoundedSemaphore(CLIENTS)
        self.address = find_address(host)
        self.address_family, self.token = self.address.family, self.address.token
        try:
            super().__init__((self.address.listens, port), Handler)
        except OverflowError as error:
            raise UserError(f"port {port}: it must be 0 to 65535") from error
        except OSError as error:
            raise UserError(self.address.refused(port, error)) from error
        self.names = self.address.names(self.server_port)
        for run in self.runs.values():  # compiles it before anybody waits
            run.probabilities(np.zeros((1, *run.features.shape), np.uint8))

    def server_bind(self) -> None:
        """Binds without asking a name server for this machine's name, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.address.name, int(self.server_address[1])

    @property
    def url(self) -> str:
        """The address of the page."""
        return self.address.url(self.server_port)

    def about(self) -> dict[str, Any]:
        """Returns what the page needs to know about the networks."""
        return {"runs": [_described(*run) for run in self.runs.items()], "most_bytes": MOST_BYTES}

    def answer(self, picture: bytes, number: int = 0) -> dict[str, Any]:
        """Returns what a network sees of an image file, and all classes by falling probability.

        Args:
            picture: The contents of the file.
            number: Position of the run among `runs`.

        Raises:
            UserError: If it is not an image, is too large, or no ink is found in it.
        """
        run = list(self.runs.values())[number]
        with self.one_at_a_time:
            looked = look(run, io.BytesIO(picture), "the picture", largest=MOST_PIXELS)
            if not np.ptp(looked.seen, (0, 1)).any():
                raise UserError("the picture: no ink found: all of it has one colour")
            (found,) = guesses(run, [looked.seen])
        return {
            "seen": _url(looked.seen),
            "doubt": looked.doubt,
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

    def process_request(self, request: Any, client_address: Any) -> None:
        """Starts a thread for a connection, or refuses it if there are too many."""
        if self.connections.acquire(blocking=False):
            return super().process_request(request, client_address)
        with contextlib.suppress(OSError):
            request.settimeout(0)
            request.send(BUSY)
        return self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answers the requests of a connection, in its own thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores a client that hangs up in the middle of an answer."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def _described(name: str, run: Run) -> dict[str, Any]:
    config = run.config
    return {
        "name": name,
        "model": config["model"],
        "dataset": config["dataset"],
        "classes": run.features.classes,
        "shape": run.features.shape,
        "ink": config["input"].get("ink"),
        "ink_span": config.get("ink_span"),
    }


def _url(image: np.ndarray) -> str:
    """Returns an image, uint8 (H, W, C), as the data URL of a PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def serve(
    runs: Mapping[str, Run],
    port: int,
    *,
    host: str = HOST,
    examples: Sequence[Example] = (),
    show: bool = False,
) -> None:
    """Serves the page until Ctrl-C.

    Args:
        runs: The runs, from `load_image_run`, by the names that distinguish them.
        port: Port to listen on; 0 for any free one.
        host: As for `Page`.
        examples: Images to try.
        show: Whether to open the page in the browser.

    Raises:
        UserError: If the port or the host is not available.
    """
    before = signal.getsignal(signal.SIGINT)
    ended = threading.Event()
    try:
        with Page(runs, port, host, examples) as page:
            # An exception would get lost if the signal came during garbage collection.
            signal.signal(signal.SIGINT, lambda *_: ended.set())
            trained = [
                f"{run.config['model']}, trained on {run.config['dataset'] or 'unknown data'}"
                for run in runs.values()
            ]
            if page.token:
                print(WARNING, file=sys.stderr, flush=True)
            print(f"{'; '.join(trained)}: {page.url} (Ctrl-C stops it)", flush=True)
            if show:
                threading.Thread(target=webbrowser.open, args=(page.url,), daemon=True).start()
            page.serve_until(ended)
    except KeyboardInterrupt:  # before the page was up
        pass
    finally:
        signal.signal(signal.SIGINT, before)
    print("\nended")

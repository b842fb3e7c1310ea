"""The local page: draw or drop a picture, and see what a network sees of it and how it classifies it.

Python's own HTTP server is enough for one person on one machine. It listens only on 127.0.0.1.
"""

import base64
import contextlib
import io
import signal
import sys
import threading
import webbrowser
from http.server import ThreadingHTTPServer
from typing import Any

import numpy as np

from jaxnets.app.handler import HOST, MOST_BYTES, Handler
from jaxnets.errors import UserError
from jaxnets.runs import Run
from jaxnets.runs.predict import guesses, look

MOST_PIXELS = 50_000_000  # of a picture: a few kilobytes can encode more than fits in memory
PICTURES = 16  # in memory at a time; others wait on their way
CLIENTS = 256  # connected at a time, each with a thread

BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Page(ThreadingHTTPServer):
    """Serves the page of one run; see `serve_until`.

    Args:
        run: The run, from `load_image_run`.
        port: Port to listen on; 0 for any free one, given by `server_port`.

    Raises:
        UserError: If the port is taken, may not be used, or is not a port number.
    """

    request_queue_size = 128  # connections that the system keeps until they are accepted

    def __init__(self, run: Run, port: int):
        self.run = run
        self.one_at_a_time = threading.Lock()  # one picture is decoded, and one program runs on the device
        self.places = threading.BoundedSemaphore(PICTURES)
        self.connections = threading.BoundedSemaphore(CLIENTS)
        try:
            super().__init__((HOST, port), Handler)
        except OverflowError as error:
            raise UserError(f"port {port}: it must be 0 to 65535") from error
        except OSError as error:
            raise UserError(
                f"port {port} of {HOST} is not available ({error.strerror}): give another --port, or 0 for "
                "any free one"
            ) from error
        run.probabilities(np.zeros((1, *run.features.shape), np.uint8))  # compiles it before anybody waits

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
            "most_bytes": MOST_BYTES,
        }

    def answer(self, picture: bytes) -> dict[str, Any]:
        """Returns what the network sees of an image file, and all classes by falling probability.

        Raises:
            UserError: If it is not an image, is too large, or nothing is seen in it.
        """
        with self.one_at_a_time:
            looked = look(self.run, io.BytesIO(picture), "the picture", largest=MOST_PIXELS)
            (found,) = guesses(self.run, [looked.seen])
        return {
            "seen": f"data:image/png;base64,{base64.b64encode(_png(looked.seen)).decode()}",
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

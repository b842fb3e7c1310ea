"""A headless Chromium, driven over two pipes by its DevTools protocol: no package needed but the browser."""

import base64
import json
import os
import shutil
import subprocess
import sys
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Chromium reads commands from descriptor 3 and answers on 4, whatever they were called here.
LAUNCHER = """
import fcntl, os, sys
commands, answers = (fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3])
os.dup2(commands, 3)
os.dup2(answers, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""


def installed():
    """The path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class DoesNotStart(Exception):
    """The Chromium there is ends at once: one in a sandbox that sees no /tmp, or without its libraries."""


class Browser:
    """One tab of a Chromium that ends with the `with` block.

    Raises:
        DoesNotStart: it ends before it answers.
    """

    def __init__(self, folder, width=960, height=560, dark=False):
        self._count, self._rest, self.events, self._session = 0, b"", [], None
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        flags += ["--remote-debugging-pipe", f"--user-data-dir={folder}", "about:blank"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(commands), str(answers), installed(), *flags],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(commands)
        os.close(answers)
        try:
            target = self("Target.createTarget", url="about:blank")["targetId"]
        except (AssertionError, BrokenPipeError) as error:
            self._release()
            raise DoesNotStart from error
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")
        self.shape(width, height, dark)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._session = None
        self("Browser.close")
        self._release()

    def _release(self):
        self.process.wait(120)
        os.close(self._write)
        os.close(self._read)

    def __call__(self, method, **parameters):
        """Calls a method of the protocol and returns its result."""
        self._count += 1
        number, message = self._count, {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._rest:
                got = os.read(self._read, 1 << 20)
                assert got, "Chromium has ended"
                self._rest += got
            line, self._rest = self._rest.split(b"\0", 1)
            answer = json.loads(line)
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self.events.append(answer)

    def shape(self, width, height, dark=False, mobile=False):
        """Sets the size of the window, and which colours its user prefers."""
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=mobile,
        )
        preferred = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", features=[preferred])

    def do(self, script):
        """Evaluates JavaScript in the page, awaits it and returns its value."""
        found = self("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, script, seconds=30):
        """Waits until JavaScript is true, and returns what it is."""
        deadline = time.monotonic() + seconds
        while not (value := self.do(script)):
            assert time.monotonic() < deadline, f"not in {seconds} s: {script}"
            time.sleep(0.05)
        return value

    def draw(self, strokes, selector):
        """Draws strokes, each of points (x, y) from 0 to 1, on an element with the mouse."""
        box = self.do(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")
        for stroke in strokes:
            points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
            kinds = ["mousePressed"] + ["mouseMoved"] * (len(points) - 1)
            for kind, (x, y) in zip(kinds, points, strict=True):
                self("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
            x, y = points[-1]
            self("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left", clickCount=1)

    def press(self, key, code=0, text=""):
        """Presses a key once."""
        for kind in ("keyDown", "keyUp"):
            extra = {"text": text} if text and kind == "keyDown" else {}
            self("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **extra)

    def complaints(self):
        """What scripts, styles and requests have complained of so far."""
        self.do("0")
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded", "Network.loadingFailed")
        return [event for event in self.events if event.get("method") in kinds]

    def requested(self):
        """The addresses that the page has asked for."""
        sent = [event for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def screenshot(self):
        """The window as a PNG."""
        return base64.b64decode(self("Page.captureScreenshot", format="png")["data"])

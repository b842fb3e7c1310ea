"""Where the page listens, and what its address is: with a token if other devices can reach it."""

import errno
import ipaddress
import secrets
import socket
from dataclasses import dataclass

from jaxnets.errors import UserError

HOST = "127.0.0.1"
LETTERS = "abcdefghjkmnpqrstuvwxyz"  # typed on a phone: none that is taken for another
LENGTH = 14  # of a token: 63 bits


@dataclass(frozen=True)
class Address:
    """Where a page listens.

    Attributes:
        family: Kind of address, IPv4 or IPv6.
        listens: The address to bind to.
        name: The address or name that it is reached by.
        token: First part of every path, or empty if only this machine can reach it.
    """

    family: socket.AddressFamily
    listens: str
    name: str
    token: str

    def names(self, port: int) -> set[str]:
        """Returns what a browser calls it in a request's `Host`."""
        ends = (f":{port}", "") if port == 80 else (f":{port}",)
        return {f"{name}{end}" for name in (self._bracketed, "localhost") for end in ends}

    def url(self, port: int) -> str:
        """Returns the address to open in a browser."""
        return f"http://{self._bracketed}:{port}/" + (f"{self.token}/" if self.token else "")

    @property
    def _bracketed(self) -> str:
        return f"[{self.name}]" if ":" in self.name else self.name

    def refused(self, port: int, error: OSError) -> str:
        """Returns a sentence on why the system does not let it listen."""
        if error.errno == errno.EADDRNOTAVAIL:
            return f"--host {self.name}: this machine has no such address; 0.0.0.0 stands for all that it has"
        return (
            f"port {port} of {self.name} is not available ({error.strerror}): give another --port, or 0 for "
            "any free one"
        )


def find_address(host: str) -> Address:
    """Returns where to listen for an address or name of this machine.

    Raises:
        UserError: If there is no such address or name.

    Examples:
        >>> find_address("127.0.0.1").url(8000)
        'http://127.0.0.1:8000/'
        >>> address = find_address("0.0.0.0")
        >>> address.listens, len(address.token)
        ('0.0.0.0', 14)
    """
    try:
        family, _, _, _, (listens, *_) = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"--host {host}: no machine has this address or name; give one of this machine, or 0.0.0.0 for "
            "all that it has"
        ) from error
    found = ipaddress.ip_address(str(listens).partition("%")[0])
    name = _seen_from_outside(family) if found.is_unspecified else host
    token = "" if found.is_loopback else "".join(secrets.choice(LETTERS) for _ in range(LENGTH))
    return Address(family, str(listens), name, token)


def _seen_from_outside(family: socket.AddressFamily) -> str:
    """Returns the address that this machine uses in its network; no packet is sent for it."""
    far = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"  # addresses of examples
    with socket.socket(family, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect((far, 9))
            return str(asked.getsockname()[0])
        except OSError:  # no way out of this machine's network, or no network
            return socket.gethostname()

"""The address of the API, which is bound before anything is started."""

import errno
import socket

from cli.errors import CommandError


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on ``host`` and ``port`` (0: any free one), for the API process to inherit.

    Since `up` itself binds it, a port in use is reported before anything runs, and stays ours while the API restarts.

    Raises:
        CommandError: the address cannot be used; says what to choose instead.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CommandError(
            f"There is no address {host!r} to listen on: {error.strerror or error}. Use --host."
        ) from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise CommandError(_refusal(host, port, error)) from error
    return listener


def url(listener: socket.socket) -> str:
    """The URL of the socket; if it listens on all interfaces, with the loopback address."""
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:
        host = "::1" if ":" in host else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _refusal(host: str, port: int, error: OSError) -> str:
    advice = f"Choose another one with --port (say, --port {port + 1 if port < 65535 else 8000}) or UNDERPAINT_PORT."
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use by another program. {advice}"
    if error.errno == errno.EACCES:
        return f"Port {port} may only be used by root. {advice}"
    return f"Cannot listen on {host}, port {port}: {error.strerror}. Choose with --host and --port."

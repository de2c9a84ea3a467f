"""The page's web server: on this machine alone, at the port asked for or not at all."""

from __future__ import annotations

import contextlib
import io
import socket

import viser

from knuckle.core.errors import DeviceError

LOOPBACK = "127.0.0.1"


def open_server(port: int, *, where: str) -> viser.ViserServer:
    """A server at ``port`` of the loopback address; DeviceError where the port is taken.

    viser itself would quietly take the next free port, and nobody would find the page.
    """
    right = f"close what runs there, or --set {where}=N with another port"
    taken = DeviceError(f"port {port} is in use", where=where, right=right)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise taken from error
    with contextlib.redirect_stdout(io.StringIO()):  # viser prints a box with the address, verbose or not
        server = viser.ViserServer(host=LOOPBACK, port=port, label="knuckle", verbose=False)
    if server.get_port() != port:
        close_server(server)
        raise taken
    return server


def close_server(server: viser.ViserServer) -> None:
    """Stop serving, without viser's word on it."""
    with contextlib.redirect_stdout(io.StringIO()):
        server.stop()

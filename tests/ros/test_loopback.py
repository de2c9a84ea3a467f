"""Nothing of ours can be reached from another machine unless somebody asks for it: discovery and the page."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

LISTENING = "0A"


def listening_at(port: int) -> set[str]:
    """The addresses, as the kernel writes them, on which somebody listens at ``port``."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            if state == LISTENING and int(local.rpartition(":")[2], 16) == port:
                found.add(local.rpartition(":")[0])
    return found


@pytest.mark.ros
def test_a_graph_is_found_on_this_machine_alone_unless_somebody_says_otherwise(monkeypatch) -> None:
    from knuckle_ros.graph_process import process_environment

    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE", raising=False)
    assert process_environment(7, "run")["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    assert process_environment(7, "run")["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "SUBNET"


def test_the_page_is_served_on_the_loopback_address_alone() -> None:
    pytest.importorskip("viser")
    from knuckle_ros.page.page_server import close_server, open_server

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = open_server(port, where="page.port")
    try:
        assert listening_at(port) == {"0100007F"}
    finally:
        close_server(server)

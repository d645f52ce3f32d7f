"""Connecting on a machine without IPv6."""

import socket
from time import monotonic

import pytest

from act_one.net import dialing
from act_one.net.dialing import DialError, connect
from act_one.net.urls import parse_url
from tests.unit.hostile import client_tls

TLS = client_tls()


@pytest.fixture
def no_ipv6(monkeypatch):
    """Make this machine seem to have no IPv6."""
    made = socket.socket

    def refuse_ipv6(family=socket.AF_INET, *rest, **more):
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return made(family, *rest, **more)

    monkeypatch.setattr(dialing.socket, "socket", refuse_ipv6)


@pytest.mark.usefixtures("no_ipv6")
def test_a_machine_without_ipv6_connects_to_the_ipv4_address(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        addresses = [
            (family, socket.SOCK_STREAM, 6, "", (address, port))
            for family, address in ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"))
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        url = parse_url(f"http://media.example:{port}/")

        with connect(url, monotonic() + 5, TLS) as connected:
            assert connected.getpeername() == ("127.0.0.1", port)


@pytest.mark.usefixtures("no_ipv6")
def test_a_machine_without_ipv6_fails_to_connect_to_an_ipv6_address():
    with pytest.raises(DialError, match="no connection: OSError"):
        connect(parse_url("http://[::1]/"), monotonic() + 5, TLS)

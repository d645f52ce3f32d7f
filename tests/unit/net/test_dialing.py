"""Connecting on a machine without IPv6."""

import socket
from time import monotonic

import pytest

from act_one.net import dialing
from act_one.net.dialing import DialError, connect
from act_one.net.urls import parse_url
from tests.unit.hostile import client_tls, deaf

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


def addresses(monkeypatch, *given):
    found = [(family, socket.SOCK_STREAM, 6, "", address) for family, address in given]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.usefixtures("no_ipv6")
def test_a_refusal_is_certain_even_where_there_is_no_ipv6(monkeypatch):
    port = closed_port()
    addresses(monkeypatch, (socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET6, ("::1", port)))

    with pytest.raises(DialError) as caught:
        connect(parse_url(f"http://media.example:{port}/"), monotonic() + 5, TLS)
    assert caught.value.certain


def test_a_refusal_by_one_of_several_addresses_is_not_certain(monkeypatch):
    with deaf("127.0.0.1") as silent:
        refusing = (socket.AF_INET, ("127.0.0.1", closed_port()))
        addresses(monkeypatch, refusing, (socket.AF_INET, ("127.0.0.1", silent)))
        with pytest.raises(DialError) as caught:
            connect(parse_url("http://media.example/"), monotonic() + 0.5, TLS)
    assert not caught.value.certain


@pytest.mark.usefixtures("no_ipv6")
def test_a_host_that_only_others_can_reach_is_not_certainly_gone():
    with pytest.raises(DialError) as caught:
        connect(parse_url("http://[2001:4860::1]/"), monotonic() + 5, TLS)
    assert not caught.value.certain

"""Which URLs and addresses a policy allows."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_one.net.addresses import Policy, is_public
from act_one.net.urls import UnsafeAddressError, parse_url

STRICT = Policy()
HTTP = Policy(allow_http=True)
LOCAL = Policy(allow_http=True, allow_private=True)


def allowed_url(text, policy):
    url = parse_url(text)
    policy.check_url(url)
    return url


def refused(text, policy=STRICT):
    url = parse_url(text)
    with pytest.raises(UnsafeAddressError) as caught:
        policy.check_url(url)
    return caught.value.code, str(caught.value)


# ── Public addresses ──────────────────────────────────────────────────────────────────────────

# IANA's special-purpose registries of both families, whole, and other networks that are not public.
SPECIAL = {
    "this network": "0.0.0.0/8",
    "private 10": "10.0.0.0/8",
    "carrier NAT": "100.64.0.0/10",
    "loopback": "127.0.0.0/8",
    "link-local": "169.254.0.0/16",
    "private 172": "172.16.0.0/12",
    "IETF protocols": "192.0.0.0/24",
    "documentation 1": "192.0.2.0/24",
    "AS112": "192.31.196.0/24",
    "AMT": "192.52.193.0/24",
    "6to4 relays": "192.88.99.0/24",
    "private 192": "192.168.0.0/16",
    "AS112 delegation": "192.175.48.0/24",
    "benchmarking": "198.18.0.0/15",
    "documentation 2": "198.51.100.0/24",
    "documentation 3": "203.0.113.0/24",
    "multicast": "224.0.0.0/4",
    "reserved": "240.0.0.0/4",
    "broadcast": "255.255.255.255/32",
    "v6 unspecified": "::/128",
    "v6 loopback": "::1/128",
    "v4-compatible": "::/96",
    "v4-mapped": "::ffff:0:0/96",
    "v4-translated": "::ffff:0:0:0/96",
    "local NAT64": "64:ff9b:1::/48",
    "discard-only": "100::/64",
    "dummy": "100:0:0:1::/64",
    "v6 IETF protocols": "2001::/23",
    "Teredo": "2001::/32",
    "port control": "2001:1::1/128",
    "v6 benchmarking": "2001:2::/48",
    "v6 AMT": "2001:3::/32",
    "v6 AS112": "2001:4:112::/48",
    "ORCHID": "2001:10::/28",
    "ORCHIDv2": "2001:20::/28",
    "drone ids": "2001:30::/28",
    "v6 documentation": "2001:db8::/32",
    "6to4": "2002::/16",
    "v6 AS112 delegation": "2620:4f:8000::/48",
    "v6 documentation 2": "3fff::/20",
    "segment routing": "5f00::/16",
    "unique local": "fc00::/7",
    "v6 link-local": "fe80::/10",
    "site-local": "fec0::/10",
    "v6 multicast": "ff00::/8",
    "unassigned 4000": "4000::/3",
    "unassigned 8000": "8000::/1",
}


@pytest.mark.parametrize("network", SPECIAL.values(), ids=SPECIAL.keys())
def test_no_address_of_a_special_network_is_public(network):
    addresses = ip_network(network)
    step = max(1, addresses.num_addresses // 97)

    assert not is_public(str(addresses[0]))
    assert not is_public(str(addresses[-1]))
    assert not any(
        is_public(str(addresses[number])) for number in range(0, addresses.num_addresses, step)
    )


METADATA = {
    "AWS": "169.254.169.254",
    "AWS over v6": "fd00:ec2::254",
    "AWS DNS": "169.254.169.253",
    "AWS DNS over v6": "fd00:ec2::253",
    "AWS time": "169.254.169.123",
    "ECS credentials": "169.254.170.2",
    "EKS credentials": "169.254.170.23",
    "EKS credentials over v6": "fd00:ec2::23",
    "Lambda runtime": "169.254.100.1",
    "Google over v6": "fd20:ce::254",
    "Azure wire server": "168.63.129.16",
    "Alibaba": "100.100.100.200",
    "Oracle": "192.0.0.192",
}


@pytest.mark.parametrize("address", METADATA.values(), ids=METADATA.keys())
def test_no_cloud_metadata_address_is_public(address):
    assert not is_public(address)


EMBEDDING = {
    "mapped": "::ffff:{}",
    "compatible": "::{}",
    "translated": "::ffff:0:{}",
    "NAT64": "64:ff9b::{}",
    "local NAT64": "64:ff9b:1::{}",
    "ISATAP": "fe80::5efe:{}",
}
INSIDE = ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "0.0.0.0", "255.255.255.255"]  # noqa: S104


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("form", EMBEDDING.values(), ids=EMBEDDING.keys())
def test_an_embedded_private_address_is_not_public(form, inside):
    address = form.format(inside)

    assert not is_public(address)
    assert not is_public(address.upper())
    assert not is_public(IPv6Address(address).exploded)


@pytest.mark.parametrize("inside", INSIDE)
def test_a_tunnel_address_of_a_private_address_is_not_public(inside):
    number = int(IPv4Address(inside))

    assert not is_public(str(IPv6Address((0x2002 << 112) | (number << 80))))
    assert not is_public(str(IPv6Address((0x2001_0000 << 96) | (number ^ 0xFFFF_FFFF))))


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "52.95.110.1",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2600:1f18::1",
        "2606:4700::1111",
        "2A00:1450:4001:80B::200E",
        "3ffe:ffff::1",
        "64:ff9b::8.8.8.8",
        "64:ff9b::808:808",
    ],
)
def test_an_internet_address_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize("address", ["fe80::1%eth0", "2600:1f18::1%1", "64:ff9b::8.8.8.8%1"])
def test_an_address_with_a_zone_is_not_public(address):
    assert not is_public(address)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_an_address_that_is_not_global_to_python_is_not_public(address):
    assert ip_address(address).is_global or not is_public(str(address))


# ── Schemes and ports ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("url", ["http://media.example/?SECRET", "HTTP://media.example/"])
def test_plain_http_is_refused_unless_it_is_allowed(url):
    assert refused(url, Policy(allow_private=True)) == ("scheme", "its scheme is http, not https")
    assert allowed_url(url, HTTP).scheme == "http"


@pytest.mark.parametrize("port", [443, 1024, 3000, 8000, 8080, 8443, 9000, 65_535])
def test_ports_of_web_servers_are_allowed(port):
    assert allowed_url(f"https://media.example:{port}/", STRICT).port == port


@pytest.mark.parametrize(
    "port",
    [
        *(1, 7, 22, 25, 53, 79, 80, 110, 143, 389, 445, 465, 587, 993, 1023),
        *(2049, 2375, 3306, 3389, 5432, 5672, 6000, 6379, 6667, 9200, 10250, 11211, 27017),
    ],
)
def test_ports_of_other_services_are_refused(port):
    message = f"its port {port} is not a web server's"
    assert refused(f"https://media.example:{port}/") == ("port", message)
    assert allowed_url(f"https://media.example:{port}/", LOCAL).port == port


def test_each_scheme_has_a_default_port():
    assert allowed_url("https://media.example/", HTTP).port == 443
    assert allowed_url("http://media.example/", HTTP).port == 80
    assert allowed_url("http://media.example:80/", HTTP).authority == "media.example"
    assert allowed_url("http://media.example:8080/", HTTP).authority == "media.example:8080"
    assert allowed_url("https://[2600:1f18::1]:8443/", HTTP).authority == "[2600:1f18::1]:8443"
    assert refused("http://media.example:443/", HTTP)[0] == "port"


def test_an_address_must_be_public_unless_private_ones_are_allowed():
    with pytest.raises(UnsafeAddressError) as caught:
        STRICT.check_address("media.example", "10.0.0.1")

    assert caught.value.code == "private"
    STRICT.check_address("media.example", "8.8.8.8")
    LOCAL.check_address("media.example", "10.0.0.1")

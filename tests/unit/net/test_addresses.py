"""Which URLs are followed, and which addresses are public."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_one.net.addresses import Policy, is_public
from act_one.net.urls import MAX_URL_CHARACTERS, UnsafeAddressError, parse_url, redirect_url

STRICT = Policy()
HTTP = Policy(allow_http=True)
LOCAL = Policy(allow_http=True, allow_private=True)
POLICIES = {"strict": STRICT, "http": HTTP, "local": LOCAL}


def allowed_url(text, policy):
    url = parse_url(text)
    policy.check_url(url)
    return url


def refused(url, policy=STRICT):
    with pytest.raises(UnsafeAddressError) as caught:
        allowed_url(url, policy)
    assert "SECRET" not in str(caught.value)
    assert "?" not in str(caught.value)
    assert len(str(caught.value)) < 120
    return str(caught.value)


# ── Public addresses ──────────────────────────────────────────────────────────────────────────

# IANA's special-purpose registries of both families, whole, and what else is nobody's to reach.
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
def test_no_cloud_shows_its_metadata_at_a_public_address(address):
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
def test_a_private_address_inside_of_another_is_not_public(form, inside):
    address = form.format(inside)

    assert not is_public(address)
    assert not is_public(address.upper())
    assert not is_public(IPv6Address(address).exploded)


@pytest.mark.parametrize("inside", INSIDE)
def test_a_private_address_inside_of_a_tunnels_is_not_public(inside):
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
def test_an_address_of_the_internet_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize("address", ["fe80::1%eth0", "2600:1f18::1%1", "64:ff9b::8.8.8.8%1"])
def test_an_address_with_a_zone_is_not_public(address):
    assert not is_public(address)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_nothing_is_public_that_python_calls_private(address):
    assert ip_address(address).is_global or not is_public(str(address))


# ── Hosts ─────────────────────────────────────────────────────────────────────────────────────

SPELLINGS = {
    "decimal": "2130706433",
    "hex": "0x7f000001",
    "upper-case hex": "0X7F000001",
    "octal": "017700000001",
    "short": "127.1",
    "shorter": "127.0.1",
    "zero": "0",
    "bare hex prefix": "0x",
    "hex of a short": "0x7f.1",
    "hex parts": "0x7f.0x0.0x0.0x1",
    "octal parts": "0177.0.0.01",
    "one octal part": "0177.0.0.1",
    "leading zeros": "127.000.000.001",
    "one leading zero": "127.0.0.01",
    "mixed parts": "0x7f.0.0.1",
    "hex at the end": "127.0.0.0x1",
    "five parts": "127.0.0.1.1",
    "too large a part": "127.0.0.256",
    "overflow": "4294967297",
    "long overflow": "18446744073709551617",
    "overflowing octal": "0x100000000",
    "dot behind it": "127.0.0.1.",
    "dot behind a decimal": "2130706433.",
    "metadata in decimal": "2852039166",
    "metadata in hex": "0xa9fea9fe",
    "metadata in octal": "0251.0376.0251.0376",
    "metadata in short": "169.254.43518",
    "public in decimal": "134744072",
    "public in short": "8.8.2056",
    "a name that ends in a number": "media.example.1",
    "a name that ends in hex": "media.example.0x1f",
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
@pytest.mark.parametrize("host", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_an_address_in_an_odd_spelling_is_refused(host, policy):
    assert (
        refused(f"https://{host}/a", policy) == "its host is an IP address in an unusual spelling"
    )


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("[::1]", "::1"),
        ("[0:0:0:0:0:0:0:1]", "::1"),
        ("[0000:0000:0000:0000:0000:0000:0000:0001]", "::1"),
        ("[::FFFF:7F00:1]", "::ffff:127.0.0.1"),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"),
        ("[FD00:EC2::254]", "fd00:ec2::254"),
        ("127.0.0.1", "127.0.0.1"),
        ("MEDIA.Example.", "media.example"),
        ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ("my_bucket.s3.example", "my_bucket.s3.example"),
        ("r2--cdn.example", "r2--cdn.example"),
        ("1.example", "1.example"),
        ("0x7f.example", "0x7f.example"),
    ],
)
def test_a_host_has_one_spelling(text, host):
    found = allowed_url(f"https://{text}/a", STRICT)

    assert found.host == host
    assert urlsplit(str(found)).hostname == host


BAD_HOSTS = {
    "none": "",
    "a port alone": ":443",
    "an empty label": "a..example",
    "a dot first": ".media.example",
    "two dots last": "media.example..",
    "just a dot": ".",
    "a long label": "a" * 64 + ".example",
    "a long name": "a." * 127 + "example",
    "a hyphen first": "-media.example",
    "a hyphen last": "media-.example",
    "a percent": "%31%32%37.0.0.1",
    "an encoded dot": "127%2e0.0.1",
    "an encoded slash": "media.example%2f.example",
    "an encoded at": "a%40b.example",
    "an encoded null": "media.example%00.example",
    "a space": "media .example",
    "a comma": "media,example",
    "an asterisk": "*.example",
    "a tilde": "~media.example",
    "a plus": "media+cdn.example",
    "a semicolon": "media.example;x",
    "an ampersand": "a&b.example",
    "a pipe": "a|b.example",
    "brackets around a name": "[media.example]",
    "brackets around a v4": "[127.0.0.1]",
    "brackets around nothing": "[]",
    "a bracket open": "[::1",
    "a bracket closed": "::1]",
    "brackets inside": "a[::1]",
    "brackets and more": "[::1]a",
    "brackets twice": "[[::1]]",
    "a future address": "[v1.fe80::1]",
    "a zone": "[fe80::1%25eth0]",
    "a bare zone": "[fe80::1%eth0]",
    "a zone of a public address": "[2600:1f18::1%1]",
    "no brackets": "::1",
    "no brackets around a full one": "fd00:ec2:0:0:0:0:0:254",
    "a short mapped one": "[::ffff:127.1]",
    "a mapped one in octal": "[::ffff:0177.0.0.1]",
    "full-width digits": "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
    "full-width dots": "127\u30020\u30020\u30021",
    "a full-width dot": "media\uff0eexample",
    "a half-width dot": "media\uff61example",
    "circled digits": "\u2460\u2461\u2466.0.0.1",
    "a superscript": "127.0.0.\u00b9",
    "Arabic digits": "\u0661\u0662\u0667.0.0.1",
    "a Kelvin sign": "\u212a.example",
    "a ligature": "\ufb01le.example",
    "a dotted I": "MED\u0130A.example",
    "a soft hyphen": "me\xaddia.example",
    "a joiner": "me\u200ddia.example",
    "right to left": "\u202emedia.example",
    "a full-width slash": "media.example\uff0f.evil.example",
    "a full-width at": "media.example\uff20evil.example",
    "a full-width colon": "media.example\uff1a80",
    "an account-of": "media.example\u2100.evil.example",
    "other letters": "münchen.example",
    "a surrogate": "media\ud800.example",
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
@pytest.mark.parametrize("host", BAD_HOSTS.values(), ids=BAD_HOSTS.keys())
def test_what_is_no_host_is_refused(host, policy):
    message = refused(f"https://{host}/a?SECRET", policy)

    assert message.startswith(("its host ", "its port ", "its address "))


USERS = {
    "a user": "user@127.0.0.1",
    "a password": "user:word@media.example",
    "a host as a user": "media.example@127.0.0.1",
    "a host and port as a user": "media.example:443@127.0.0.1",
    "nothing as a user": "@media.example",
    "two": "media.example@evil.example@127.0.0.1",
    "an address as a user": "[::1]@media.example",
}


@pytest.mark.parametrize("authority", USERS.values(), ids=USERS.keys())
def test_a_user_name_is_refused(authority):
    assert refused(f"https://{authority}/a", LOCAL) == "it contains a user name"


CONFUSIONS = {
    "a backslash for a slash": "https:\\\\127.0.0.1\\a",
    "a backslash before an at": "https://media.example\\@127.0.0.1/",
    "a backslash before a dot": "https://media.example\\.evil.example/",
    "a backslash in the path": "https://media.example/\\127.0.0.1/",
    "a tab in the host": "https://127.0.0\t.1/",
    "a newline in the host": "https://media.example\n.evil.example/",
    "a newline in the scheme": "ht\ntps://media.example/",
    "a request in the path": "https://media.example/a HTTP/1.1\r\nHost: evil.example",
    "a carriage return": "https://media.example/\ra",
    "a null": "https://media.example/\x00a",
    "a null in the host": "https://media.example\x00.evil.example/",
    "a null in front": "\x00https://media.example/",
    "a delete": "https://media.example/\x7f",
    "an escape": "https://media.example/\x1b[0m",
}


@pytest.mark.parametrize("url", CONFUSIONS.values(), ids=CONFUSIONS.keys())
def test_what_servers_read_in_two_ways_is_refused(url):
    assert refused(url, LOCAL) == "it contains a backslash or a control character"


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("https://media.example#@127.0.0.1/", "media.example", "/"),
        ("https://media.example/#?SECRET", "media.example", "/"),
        ("https://media.example?@127.0.0.1/", "media.example", "/?@127.0.0.1/"),
        ("https://media.example/@127.0.0.1/", "media.example", "/@127.0.0.1/"),
        ("https://media.example//127.0.0.1/", "media.example", "//127.0.0.1/"),
        ("https://media.example/a/../b%2Fc%7E", "media.example", "/a/../b%2Fc%7E"),
        ("https://media.example/a b", "media.example", "/a%20b"),
        ("https://media.example/ä?é=ü", "media.example", "/%C3%A4?%C3%A9=%C3%BC"),
        ("https://media.example/a?X-Amz-Signature=a+b%2B%3D/&c", "media.example", None),
    ],
    ids=["#@", "#?", "?@", "/@", "//", "as it is", "a space", "other letters", "a signature"],
)
def test_only_what_stands_before_the_path_is_the_host(url, host, path):
    found = allowed_url(url, STRICT)

    assert found.host == host
    assert found.path == (path or "/a?X-Amz-Signature=a+b%2B%3D/&c")
    assert allowed_url(str(found), STRICT) == found
    assert urlsplit(str(found)).hostname == host
    assert urlsplit(str(found)).netloc == host


@given(st.text(st.characters(max_codepoint=0x2FFF), max_size=30))
def test_what_is_followed_is_read_by_everybody_the_same_way(text):
    url = f"https://media.example{text}"
    try:
        found = allowed_url(url, LOCAL)
    except UnsafeAddressError:
        return

    assert allowed_url(str(found), LOCAL) == found
    assert urlsplit(str(found)).hostname == found.host
    assert (urlsplit(str(found)).port or 443) == found.port
    assert str(found).isascii()
    assert found.path.startswith("/")


# ── Schemes and ports ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "url",
    [
        "ftp://media.example/?SECRET",
        "file:///etc/passwd",
        "file://media.example/etc/passwd",
        "gopher://127.0.0.1:6379/_SECRET",
        "dict://127.0.0.1:11211/",
        "data:,SECRET",
        "javascript:SECRET",
        "blob:https://media.example/",
        "jar:https://media.example!/",
        "ws://media.example/",
        "s3://bucket/key",
        "httpss://media.example/",
        "https+unix://media.example/",
        "\ufb01le://media.example/",
        "http\u017f://media.example/",
        "media.example/?SECRET",
        "media.example:443/?SECRET",
        "//media.example/",
        "/a",
        " https://media.example/",
        "\u2028https://media.example/",
        ":",
        "",
    ],
    ids=ascii,
)
def test_no_other_scheme_is_ever_fetched(url):
    for policy in POLICIES.values():
        assert "https" in refused(url, policy)


@pytest.mark.parametrize(
    "url", ["https:", "https:/a", "https:media.example", "HTTPS:/media.example/"]
)
def test_without_a_host_there_is_nothing_to_fetch(url):
    assert refused(url, LOCAL) == "it has no host"


@pytest.mark.parametrize("url", ["http://media.example/?SECRET", "HTTP://media.example/"])
def test_plain_http_is_refused_unless_it_is_allowed(url):
    assert refused(url, Policy(allow_private=True)) == "its scheme is http, not https"
    assert allowed_url(url, HTTP).scheme == "http"


def test_a_url_without_bounds_is_refused():
    url = "https://media.example/" + "a" * MAX_URL_CHARACTERS

    assert "longer" in refused(url, LOCAL)
    assert allowed_url(url[:MAX_URL_CHARACTERS], LOCAL)


@pytest.mark.parametrize("port", [443, 1024, 3000, 8000, 8080, 8443, 9000, 65_535])
def test_ports_of_the_web_are_followed(port):
    assert allowed_url(f"https://media.example:{port}/", STRICT).port == port


@pytest.mark.parametrize(
    "port",
    [
        *(1, 7, 22, 25, 53, 79, 80, 110, 143, 389, 445, 465, 587, 993, 1023),
        *(2049, 2375, 3306, 3389, 5432, 5672, 6000, 6379, 6667, 9200, 10250, 11211, 27017),
    ],
)
def test_ports_of_other_services_are_refused(port):
    assert refused(f"https://media.example:{port}/") == f"its port {port} is not a web server's"
    assert allowed_url(f"https://media.example:{port}/", LOCAL).port == port


def test_each_scheme_has_its_own_port():
    assert allowed_url("https://media.example/", HTTP).port == 443
    assert allowed_url("http://media.example/", HTTP).port == 80
    assert allowed_url("http://media.example:80/", HTTP).authority == "media.example"
    assert allowed_url("http://media.example:8080/", HTTP).authority == "media.example:8080"
    assert allowed_url("https://[2600:1f18::1]:8443/", HTTP).authority == "[2600:1f18::1]:8443"
    refused("http://media.example:443/", HTTP)


@pytest.mark.parametrize(
    "port", ["", "0", "65536", "99999", "443a", "-443", "+443", "0x1bb", " 443", "4_43", "443:443"]
)
def test_what_is_no_port_is_refused(port):
    assert (
        refused(f"https://media.example:{port}/", LOCAL)
        == "its port is not a number from 1 to 65,535"
    )


def test_a_port_in_other_digits_is_refused():
    refused("https://media.example:\uff14\uff14\uff13/", LOCAL)


# ── Redirects ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b", "https://media.example/b"),
        ("b?c", "https://media.example/x/b?c"),
        ("../b", "https://media.example/b"),
        ("?b", "https://media.example/x/a?b"),
        ("//other.example/b", "https://other.example/b"),
        ("https://other.example:8443/b", "https://other.example:8443/b"),
        ("https://other.example/b#c", "https://other.example/b"),
        ("/b c", "https://media.example/b%20c"),
        ("/b\xc3\xa4", "https://media.example/b%C3%A4"),
        ("/b\xff", "https://media.example/b%FF"),
        ("https:b", "https://media.example/x/b"),
        ("///etc/passwd", "https://media.example/etc/passwd"),
        ("https:///etc/passwd", "https://media.example/etc/passwd"),
        ("", "https://media.example/x/a?q"),
    ],
)
def test_a_redirect_leads_where_it_says(location, url):
    found = allowed_url(redirect_url("https://media.example/x/a?q", location), STRICT)

    assert str(found) == url


@pytest.mark.parametrize(
    "location",
    [
        "\\\\127.0.0.1\\a",
        "/\\127.0.0.1/a",
        "/\t/127.0.0.1/",
        "https://[",
        "https://[::1?SECRET",
        "//[x",
        "//user@127.0.0.1/",
        "//127.1/",
        "//2130706433/",
        "//\uff11\uff12\uff17.0.0.1/",
        "https://m\xc3\xbcnchen.example/",
        "https://127\xe3\x80\x820.0.1/",
        "https://%zz/",
        "https://media.example:99999/",
        "http://media.example/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_",
        "ftp:b",
        "javascript:SECRET",
    ],
    ids=ascii,
)
def test_a_redirect_to_what_is_not_followed_is_refused(location):
    with pytest.raises(UnsafeAddressError) as caught:
        allowed_url(redirect_url("https://media.example/x/a?q=SECRET", location), STRICT)

    assert "SECRET" not in str(caught.value)


def test_python_reads_the_odd_spellings_that_are_refused_here():
    """The resolver takes them: without a rule of our own, they would be connected to."""
    assert socket.getaddrinfo("127.1", 80)[0][4][0] == "127.0.0.1"
    assert socket.getaddrinfo("0x7f.1", 80)[0][4][0] == "127.0.0.1"

"""How URLs are parsed, and which are refused because two parsers could read them differently."""

import socket
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from act_one.net.urls import MAX_URL_CHARACTERS, UnsafeAddressError, parse_url, redirect_url


def refused(text):
    with pytest.raises(UnsafeAddressError) as caught:
        parse_url(text)
    assert "SECRET" not in str(caught.value)
    assert "?" not in str(caught.value)
    assert len(str(caught.value)) < 120
    return caught.value.code, str(caught.value)


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
    "trailing dot": "127.0.0.1.",
    "trailing dot of a decimal": "2130706433.",
    "metadata in decimal": "2852039166",
    "metadata in hex": "0xa9fea9fe",
    "metadata in octal": "0251.0376.0251.0376",
    "metadata in short": "169.254.43518",
    "public in decimal": "134744072",
    "public in short": "8.8.2056",
    "a name that ends in a number": "media.example.1",
    "a name that ends in hex": "media.example.0x1f",
}


@pytest.mark.parametrize("host", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_an_unusual_spelling_of_an_address_is_refused(host):
    assert refused(f"https://{host}/a") == (
        "address",
        "its host is an IP address in an unusual spelling",
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
def test_a_host_is_normalized(text, host):
    parsed = parse_url(f"https://{text}/a")

    assert parsed.host == host
    assert urlsplit(str(parsed)).hostname == host


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


@pytest.mark.parametrize("host", BAD_HOSTS.values(), ids=BAD_HOSTS.keys())
def test_an_invalid_host_is_refused(host):
    code, message = refused(f"https://{host}/a?SECRET")

    assert code in {"invalid", "host", "address", "port"}
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
    assert refused(f"https://{authority}/a") == ("credentials", "it contains a user name")


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
def test_backslashes_and_control_characters_are_refused(url):
    assert refused(url) == (
        "characters",
        "it contains a backslash or a control character",
    )


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
def test_the_host_ends_where_the_path_begins(url, host, path):
    parsed = parse_url(url)

    assert parsed.host == host
    assert parsed.path == (path or "/a?X-Amz-Signature=a+b%2B%3D/&c")
    assert parse_url(str(parsed)) == parsed
    assert urlsplit(str(parsed)).hostname == host
    assert urlsplit(str(parsed)).netloc == host


@given(st.text(st.characters(max_codepoint=0x2FFF), max_size=30))
def test_urllib_parses_a_url_in_the_same_way(text):
    url = f"https://media.example{text}"
    try:
        parsed = parse_url(url)
    except UnsafeAddressError:
        return

    assert parse_url(str(parsed)) == parsed
    assert urlsplit(str(parsed)).hostname == parsed.host
    assert (urlsplit(str(parsed)).port or 443) == parsed.port
    assert str(parsed).isascii()
    assert parsed.path.startswith("/")


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
def test_only_http_and_https_are_parsed(url):
    code, message = refused(url)

    assert code in {"scheme", "invalid"}
    assert message.startswith("its scheme is ")
    assert "https" in message


@pytest.mark.parametrize(
    "url", ["https:", "https:/a", "https:media.example", "HTTPS:/media.example/"]
)
def test_a_url_without_a_host_is_refused(url):
    assert refused(url) == ("invalid", "it has no host")


def test_a_very_long_url_is_refused():
    url = "https://media.example/" + "a" * MAX_URL_CHARACTERS

    assert refused(url) == ("invalid", "it is longer than 8,192 characters")
    assert parse_url(url[:MAX_URL_CHARACTERS])


@pytest.mark.parametrize(
    "port", ["", "0", "65536", "99999", "443a", "-443", "+443", "0x1bb", " 443", "4_43", "443:443"]
)
def test_an_invalid_port_is_refused(port):
    assert refused(f"https://media.example:{port}/") == (
        "port",
        "its port is not a number from 1 to 65,535",
    )


def test_a_port_in_other_digits_is_refused():
    refused("https://media.example:\uff14\uff14\uff13/")


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
def test_a_redirect_is_resolved_against_its_url(location, url):
    parsed = parse_url(redirect_url("https://media.example/x/a?q", location))

    assert str(parsed) == url


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
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_",
        "ftp:b",
        "javascript:SECRET",
    ],
    ids=ascii,
)
def test_a_redirect_to_an_invalid_url_is_refused(location):
    with pytest.raises(UnsafeAddressError) as caught:
        parse_url(redirect_url("https://media.example/x/a?q=SECRET", location))

    assert "SECRET" not in str(caught.value)


def test_the_resolver_accepts_spellings_that_we_refuse():
    """This is why `parse_url` has to refuse them."""
    assert socket.getaddrinfo("127.1", 80)[0][4][0] == "127.0.0.1"
    assert socket.getaddrinfo("0x7f.1", 80)[0][4][0] == "127.0.0.1"

"""The public authorities as a folder: OpenSSL finds each one, and refuses what it refused before.

No authority's key is known here, so a server presents a certificate that claims to be of one. It is
refused either way, but only if OpenSSL knows the authority does it get as far as the signature.
"""

import ssl
import subprocess
import sys
import warnings
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from act_one.net import dialing
from act_one.net.dialing import DialError, connect, public_authorities
from act_one.net.urls import parse_url
from local.handlers import LAYERS
from tests.unit.hostile import peer

CERTIFI = LAYERS["DependenciesLayer"] / "certifi"
HOST = "media.example"
KEY = ec.generate_private_key(ec.SECP256R1())
END = "-----END CERTIFICATE-----"
AUTHORITIES = {
    ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN") :] + END)
    for text in (CERTIFI / "cacert.pem").read_text().split(END)[:-1]
}
with warnings.catch_warnings(action="ignore"):  # an old authority's serial number isn't positive
    BUNDLE = [*map(x509.load_der_x509_certificate, sorted(AUTHORITIES))]
NOW = datetime.now(UTC)


def certificate(issuer, *, host=HOST, days=30, key=KEY, signer=KEY):
    """Return a server's certificate that names an issuer."""
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=60))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, hashes.SHA256())
    )


def server(folder, presented, key=KEY):
    """Return the TLS context of a server that presents a certificate."""
    chain = folder / "chain.pem"
    chain.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + presented.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context


def shake_hands(client, serving, host=HOST):
    """Make both sides of a handshake in memory; raises what the client raises."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=host)
    theirs = serving.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(8):
        with suppress(ssl.SSLWantReadError):
            ours.do_handshake()
            return
        with suppress(ssl.SSLWantReadError):
            theirs.do_handshake()
    raise AssertionError("the handshake doesn't end")


@pytest.fixture
def shipped(monkeypatch):
    """The context that functions use, newly made over the layer's certifi."""
    monkeypatch.setattr(dialing.certifi, "where", lambda: str(CERTIFI / "cacert.pem"))
    public_authorities.cache_clear()
    yield public_authorities()
    public_authorities.cache_clear()


def test_the_folder_has_each_authority_of_the_file_once():
    paths = [*(CERTIFI / "authorities").iterdir()]

    assert len(AUTHORITIES) > 100
    assert len(paths) == len(AUTHORITIES)
    assert {ssl.PEM_cert_to_DER_cert(path.read_text()) for path in paths} == AUTHORITIES


def test_no_authority_is_read_before_it_is_needed(shipped):
    assert shipped.cert_store_stats()["x509"] == 0


def test_openssl_finds_each_authority(shipped, tmp_path):
    """Its own hash must lead to the file that was named by ours."""
    for authority in BUNDLE:
        serving = server(tmp_path, certificate(authority.subject))

        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(shipped, serving)

    assert {*shipped.get_ca_certs(binary_form=True)} == AUTHORITIES


def test_a_certificate_that_only_claims_its_authority_is_refused(shipped, tmp_path):
    authority = BUNDLE[0]
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    forged = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)]))
        .issuer_name(authority.subject)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
        .sign(KEY, hashes.SHA256())
    )

    with pytest.raises(ssl.SSLCertVerificationError, match="signature failure"):
        shake_hands(shipped, server(tmp_path, forged))


def test_an_unknown_authority_is_refused(shipped, tmp_path):
    unknown = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Nobody's Authority")])

    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        shake_hands(shipped, server(tmp_path, certificate(unknown)))


def test_a_certificate_that_signs_itself_is_refused(shipped, tmp_path):
    itself = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])

    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
        shake_hands(shipped, server(tmp_path, certificate(itself)))


def test_the_context_is_as_strict_as_one_over_the_file(shipped):
    by_file = ssl.create_default_context(cafile=str(CERTIFI / "cacert.pem"))

    for name in (
        *("check_hostname", "verify_mode", "verify_flags", "options"),
        *("minimum_version", "maximum_version", "security_level"),
    ):
        assert getattr(shipped, name) == getattr(by_file, name), name
    assert shipped.get_ciphers() == by_file.get_ciphers()


@pytest.fixture
def own_authority(tmp_path, monkeypatch):
    """An authority in a folder that the build's own script has made."""
    authority = trustme.CA()
    certifi = tmp_path / "certifi"
    certifi.mkdir()
    (certifi / "cacert.pem").write_bytes(
        (CERTIFI / "cacert.pem").read_bytes() + authority.cert_pem.bytes()
    )
    script = Path(__file__).parents[2] / "layers/dependencies/authorities.py"
    subprocess.run([sys.executable, script, certifi], check=True)
    monkeypatch.setattr(dialing.certifi, "where", lambda: str(certifi / "cacert.pem"))
    public_authorities.cache_clear()
    yield authority
    public_authorities.cache_clear()


def serving(authority, name, **options):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, **options).configure_cert(context)
    return context


def dial(port, monkeypatch):
    found = [(2, 1, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr(dialing.socket, "getaddrinfo", lambda *_, **__: found)
    return connect(parse_url(f"https://{HOST}:{port}/"), monotonic() + 5, public_authorities())


def test_a_server_of_an_authority_in_the_folder_is_connected_to(own_authority, monkeypatch):
    with (
        peer(lambda *_: None, serving(own_authority, HOST)) as there,
        dial(there.port, monkeypatch) as connected,
    ):
        assert connected.version() in {"TLSv1.2", "TLSv1.3"}

    assert public_authorities().cert_store_stats()["x509"] == 1


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("other.example", {}, "Hostname mismatch"),
        (HOST, {"not_after": datetime(2020, 1, 1, tzinfo=UTC)}, "has expired"),
    ],
)
def test_its_name_and_its_time_are_checked(own_authority, name, options, reason, monkeypatch):
    with (
        peer(lambda *_: None, serving(own_authority, name, **options)) as there,
        pytest.raises(DialError, match=reason),
    ):
        dial(there.port, monkeypatch)


def test_without_the_folder_the_file_is_read(tmp_path, monkeypatch):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "cacert.pem"))
    monkeypatch.setattr(dialing.certifi, "where", lambda: str(tmp_path / "cacert.pem"))
    public_authorities.cache_clear()
    try:
        assert public_authorities().cert_store_stats()["x509"] == 1
    finally:
        public_authorities.cache_clear()

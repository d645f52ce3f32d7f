"""Writes certifi's authorities a second time, as a folder that OpenSSL reads one at a time.

Usage: ``authorities.py CERTIFI``, certifi's folder. To trust a file, OpenSSL parses all of its 140
certificates, a fifth of a cold start. In a folder it opens the one it needs, by a name that is
made of the hash of the authority's own name: ``X509_NAME_hash`` with a number behind it, as
``openssl rehash`` writes it.
"""

import hashlib
import re
import ssl
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

FOLDER: Final = "authorities"
_CERTIFICATE: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----\n.+?-----END CERTIFICATE-----\n", re.DOTALL
)

_SEQUENCE, _SET, _VERSION, _UTF8 = 0x30, 0x31, 0xA0, 0x0C
_ENCODINGS: Final = {
    _UTF8: "utf-8",
    0x13: "latin-1",  # PrintableString
    0x14: "latin-1",  # T61String, which OpenSSL reads so
    0x16: "latin-1",  # IA5String
    0x1A: "latin-1",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}
"""The types of text that OpenSSL compares without regard to case and spaces, by their tags."""


def main(certifi: Path) -> None:
    """Write the folder beside certifi's file."""
    folder = certifi / FOLDER
    folder.mkdir()
    for certificate in _CERTIFICATE.findall((certifi / "cacert.pem").read_text()):
        name = f"{name_hash(subject(ssl.PEM_cert_to_DER_cert(certificate))):08x}"
        paths = (folder / f"{name}.{number}" for number in count())
        next(path for path in paths if not path.exists()).write_text(certificate)


def subject(certificate: bytes) -> bytes:
    """Return the content of a DER certificate's subject, a sequence of names."""
    [(_, signed)] = parts(certificate)
    _, to_be_signed = next(parts(signed))
    fields = [content for tag, content in parts(to_be_signed) if tag != _VERSION]
    return fields[4]  # after the serial number, the algorithm, the issuer and the validity


def name_hash(name: bytes) -> int:
    """Return ``X509_NAME_hash`` of the content of a name: of its canonical form, 32 bits."""
    canonical = b"".join(
        wrapped(_SET, b"".join(sorted(_canonical(attribute) for _, attribute in parts(names))))
        for _, names in parts(name)
    )
    digest = hashlib.sha1(canonical, usedforsecurity=False).digest()
    return int.from_bytes(digest[:4], "little")


def _canonical(attribute: bytes) -> bytes:
    """Return a type and its value, which is in lower case and has single spaces if it is text."""
    (kind, kind_content), (tag, value) = parts(attribute)
    if tag in _ENCODINGS:
        text = value.decode(_ENCODINGS[tag]).encode()
        tag, value = _UTF8, b" ".join(text.split()).lower()
    return wrapped(_SEQUENCE, wrapped(kind, kind_content) + wrapped(tag, value))


def parts(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tag and the content of each DER element."""
    while content:
        tag, length, start = content[0], content[1], 2
        if length > 0x7F:
            start += length & 0x7F
            length = int.from_bytes(content[2:start])
        yield tag, content[start : start + length]
        content = content[start + length :]


def wrapped(tag: int, content: bytes) -> bytes:
    """Return a DER element."""
    length = len(content)
    if length <= 0x7F:
        return bytes((tag, length)) + content
    size = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(size))) + size + content


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Changes samples at random: bits, numbers, lengths, words of their format, parts of others."""

import re

MAX_BYTES = 262_144
_NUMBERS = [0, 1, 2, 8, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]
_VALUE = re.compile(rb'"[^"]*"|-?\d[\d.eE+-]*|true|false|null|\{\}|\[\]')


def mutated(sample, others, words, random):
    """Change a sample in one to eight places.

    ``words`` are inserted, or replace what looks like a value of JSON; parts of ``others``, which
    are samples of the same target, are mixed in.
    """
    data = bytearray(sample)
    for _ in range(random.choice((1, 1, 2, 3, 8))):
        at = _place(data, words, random)
        length = min(random.choice((1, 1, 2, 4, 8, 16, 64, 1_000)), len(data) - at)
        match random.randrange(9):
            case 0 if length:
                data[at] ^= 1 << random.randrange(8)
            case 1 if length:
                data[at] = random.randrange(256)
            case 2:
                size = random.choice((1, 2, 4, 8))
                number = random.choice(_NUMBERS) % (1 << 8 * size)
                data[at : at + size] = number.to_bytes(size, random.choice(("big", "little")))
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at : at + length] * random.choice((1, 1, 2, 16, 400))
            case 5:
                del data[at:]
            case 6:
                other = random.choice(others)
                start = random.randrange(len(other) + 1)
                data[at : at + length] = other[start : start + random.choice((8, 64, 4_096))]
            case 7:
                data[at : at + random.choice((0, length))] = random.choice(words)
            case 8:
                values = list(_VALUE.finditer(data[:4_096]))
                if values:
                    start, end = random.choice(values).span()
                    data[start:end] = random.choice(words)
        if len(data) > MAX_BYTES:
            del data[MAX_BYTES:]
    return bytes(data)


def _place(data, words, random):
    """Choose where to change: half of the time near a word, because most of a video is pixels."""
    near = data.find(random.choice(words)) if random.random() < 0.5 else -1
    at = random.randrange(len(data) + 1) if near < 0 else near + random.randrange(-8, 64)
    return min(max(at, 0), len(data))

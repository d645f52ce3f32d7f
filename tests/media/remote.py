"""Runs both checks on bytes in memory; an error is returned as a result."""

from act_one.media.facts import MediaFileError
from act_one.media.probe import Scan, probe


class Remote:
    """A file that is read by ranges and records the size of each read."""

    def __init__(self, data):
        self.data = data
        self.reads = []

    def read(self, offset, length):
        assert offset >= 0
        assert length > 0
        found = self.data[offset : offset + length]
        self.reads.append(len(found))
        return found


def probed(remote, size):
    try:
        return probe(remote.read, size)
    except MediaFileError as error:
        return error


def scanned(data, chunk=262_144, size=None):
    scan = Scan(size)
    view = memoryview(data)
    try:
        for start in range(0, len(data), chunk):
            scan.feed(view[start : start + chunk])
        return scan.finish()
    except MediaFileError as error:
        return error

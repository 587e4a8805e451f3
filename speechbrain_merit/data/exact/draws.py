"""Chance from SHA-256: the same draws with every library, in whatever order files are made."""

import hashlib

import numpy as np


class Draws:
    """A stream of draws that its name alone decides: the digests of name and counter.

    Arguments
    ---------
    *name : str or int
        What the draws are for, such as a set, an utterance and a condition.

    Example
    -------
    >>> Draws("pink", 0).integers(0, 100, 3).tolist()
    [80, 9, 75]
    """

    def __init__(self, *name):
        self.key = hashlib.sha256("\x1f".join(map(str, name)).encode()).digest()
        self.counter = 0

    def bytes(self, count):
        """That many bytes; what is left of the last digest is not used again."""
        blocks = range(self.counter, self.counter - (-count // 32))
        self.counter = blocks.stop
        digests = (hashlib.sha256(self.key + n.to_bytes(8, "little")).digest() for n in blocks)
        return b"".join(digests)[:count]

    def integers(self, low, high, count):
        """Whole numbers from `low` to `high` − 1, (count,) int64.

        A number of 32 bits is scaled to the range and rounded down, so that with a range of R no
        number is more likely than another by more than R / 2³².
        """
        words = np.frombuffer(self.bytes(4 * count), dtype="<u4").astype(np.int64)
        return low + (words * (high - low) >> 32)  # ranges are below 2³¹

    def integer(self, low, high):
        """One such number, an int."""
        return int(self.integers(low, high, 1)[0])

    def white(self, count):
        """White noise (count,), int64: four uniform numbers of 16 bits added, their mean taken off.

        Bell-shaped, with a standard deviation of about 37 837.
        """
        parts = np.frombuffer(self.bytes(8 * count), dtype="<u2").reshape(count, 4)
        return parts.sum(axis=1, dtype=np.int64) - 2 * 65535

"""What the fuzz tests share: damage to files, a limit on time, and what counts as an answer."""

import contextlib
import math
import signal
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st

from speechbrain_merit.errors import MeritError

SECONDS = 30  # for one case; a loaded machine needs one second for the slowest
LARGEST = 2**32 - 1

#: One piece of damage: what, where (as a share of the file), and a number to do it with.
DAMAGE = st.tuples(
    st.sampled_from(["flip", "cut", "insert", "repeat", "zero", "number"]),
    st.floats(0, 1),
    st.integers(0, LARGEST),
)
DAMAGES = st.lists(DAMAGE, min_size=1, max_size=4)
#: Headers stand at the beginning: half of the damage is done there.
EARLY = st.lists(st.tuples(DAMAGE, st.booleans()), min_size=1, max_size=4)


def damaged(data, damages):
    """Bytes after some damage.

    Example
    -------
    >>> damaged(b"abcd", [("cut", 0.5, 0), ("insert", 0.0, 120)])
    b'xab'
    """
    for kind, place, number in damages:
        at = min(int(place * len(data)), max(len(data) - 1, 0))
        if kind == "flip" and data:
            data = data[:at] + bytes([data[at] ^ (1 << number % 8)]) + data[at + 1 :]
        elif kind == "cut":
            data = data[:at]
        elif kind == "insert":
            data = data[:at] + bytes([number % 256]) * (1 + number // 256 % 8) + data[at:]
        elif kind == "repeat":
            data = data[:at] + data[at : at + 1 + number % 64] + data[at:]
        elif kind == "zero":
            data = data[:at] + bytes(min(1 + number % 64, len(data) - at)) + data[at + 64 :]
        elif kind == "number":  # sizes and rates of headers are four bytes
            data = data[:at] + number.to_bytes(4, "little") + data[at + 4 :]
    return data


def early(marked, length, head=64):
    """Damage, where marked moved into the first bytes of a file of some length."""
    share = min(1.0, head / max(length, 1))
    return [(kind, place * share if mark else place, n) for (kind, place, n), mark in marked]


def shared(n_tests):
    """The settings of one of n tests of a surface: in a long run they share its cases."""
    plain = settings.get_profile("plain").max_examples
    return settings(max_examples=max(plain, math.ceil(settings.default.max_examples / n_tests)))


@contextlib.contextmanager
def answers(folder, also=(FileNotFoundError,)):
    """A case ends in time, in a result or an error of the package's own, and writes nothing.

    Arguments
    ---------
    folder : Path
        All that the case may write into; nothing beside it may change.
    also : tuple
        Errors that name a file and are an answer too.
    """
    beside = sorted(folder.parent.iterdir())

    def late(*_):
        raise AssertionError(f"no answer within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    except (MeritError, *also):
        pass
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert sorted(Path(folder).parent.iterdir()) == beside, "a file outside of the folder"

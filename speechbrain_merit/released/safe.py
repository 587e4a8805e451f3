"""Files of others, read without running anything that stands in them.

A pickle is a program that may call whatever it names. torch's ``weights_only`` admits names of
tensors alone; numpy's scalars, which lie among weights and in pickles of their own, are read by
stand-ins: they take bytes in and call nothing of numpy but ``frombuffer``.
"""

import math
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import torch

from speechbrain_merit.errors import UnreadableError

LFS_POINTER = b"version https://git-lfs"


class ScalarType:
    """Stands in for ``numpy.dtype`` in a pickle: an integer or a float of a byte order."""

    def __init__(self, code, align=False, copy=False):
        if not re.fullmatch("f[248]|[iu][1248]", code):
            raise pickle.UnpicklingError(f"a numpy type {code!r}, which is no number")
        self.code, self.order = code, "<"

    def __setstate__(self, state):
        """Takes the byte order over, and nothing else that a pickle may say of the type."""
        self.order = state[1] if state[1] in ("<", ">") else "<"


def scalar(kind, data):
    """Stands in for numpy's scalar constructor (numpy 1 and 2): a Python number from bytes."""
    return np.frombuffer(data, np.dtype(kind.order + kind.code), count=1)[0].item()


def encode(text, encoding):
    """Stands in for ``_codecs.encode``, by which pickles before protocol 3 hold bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes encoded as {encoding!r}")
    return text.encode("latin1")


#: Name in a pickle → what is called in its place.
STAND_INS = {
    "numpy.core.multiarray.scalar": scalar,
    "numpy._core.multiarray.scalar": scalar,
    "numpy.dtype": ScalarType,
    "_codecs.encode": encode,
}


class NumberUnpickler(pickle.Unpickler):
    """Reads plain values and numpy's scalars; any other name in the pickle is refused."""

    def find_class(self, module, name):
        """Gives the stand-in of a name that a numpy scalar needs."""
        if f"{module}.{name}" not in STAND_INS:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return STAND_INS[f"{module}.{name}"]


def read_statistics(path):
    """The mean and standard deviation in a pickled tuple of two numbers.

    Arguments
    ---------
    path : str or Path
        A pickle of (mean, std), Python's or numpy's scalars.

    Returns
    -------
    tuple
        Two floats.

    Raises
    ------
    UnreadableError
        The file is none of this kind, would run code, or its numbers are no statistics.

    Example
    -------
    >>> path = getfixture("tmpdir") / "statistics.pkl"
    >>> path.write_binary(pickle.dumps((np.float32(0.25), np.float64(2.0))))
    >>> read_statistics(path)
    (0.25, 2.0)
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            values = NumberUnpickler(file).load()
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read: {error.strerror}.") from error
    except Exception as error:  # a pickle that is cut or made up raises whatever it likes
        raise UnreadableError(
            f"{path}: is no pickle of two numbers: {error}. Nothing in it was run."
        ) from error
    numbers = isinstance(values, tuple) and all(type(v) in (int, float) for v in values)
    if not numbers or len(values) != 2 or not all(map(math.isfinite, values)) or values[1] <= 0:
        raise UnreadableError(f"{path}: holds no (mean, std) with a positive std.")
    return float(values[0]), float(values[1])


def read_tensors(path):
    """What torch saved: tensors and plain values, from the disk as they are needed.

    Raises
    ------
    UnreadableError
        The file is broken, or holds more than tensors and plain values.

    Example
    -------
    >>> path = getfixture("tmpdir") / "weights.pt"
    >>> torch.save({"model": {"weight": torch.zeros(2)}}, path)
    >>> read_tensors(path)
    {'model': {'weight': tensor([0., 0.])}}
    """
    path = Path(path)
    try:
        mapped = zipfile.is_zipfile(path)  # torch's format since 1.6
        with torch.serialization.safe_globals([(call, name) for name, call in STAND_INS.items()]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read: {error.strerror}.") from error
    except Exception as error:  # zip, pickle and runtime errors of many kinds
        with open(path, "rb") as file:
            if file.read(len(LFS_POINTER)) == LFS_POINTER:
                raise UnreadableError(
                    f"{path}: is a pointer of Git LFS: run git lfs pull."
                ) from error
        refused = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it names {refused[1]}" if refused else type(error).__name__
        raise UnreadableError(
            f"{path}: is cut off, or holds more than tensors and plain values ({what}). "
            "Nothing in it was run."
        ) from error

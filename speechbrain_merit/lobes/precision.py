"""Where half precision does not do: sums, logarithms, softmax, spectra."""

import torch


def wide(values):
    """Values in float32 where they were narrower; float64 stays.

    Example
    -------
    >>> wide(torch.zeros(2, dtype=torch.bfloat16)).dtype, wide(torch.zeros(2).double()).dtype
    (torch.float32, torch.float64)
    """
    return values.to(wide_dtype(values.dtype))


def wide_dtype(dtype):
    """The dtype of :func:`wide`."""
    return torch.promote_types(dtype, torch.float32)

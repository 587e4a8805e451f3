"""Devices by name: one that this machine lacks is named before anything is loaded onto it."""

import torch

from speechbrain_merit.errors import SettingsError


def check_device(device):
    """Raises :class:`SettingsError` for the name of a device that torch cannot use here.

    Nothing is put onto it: of several processes each would take memory of the first GPU.

    Example
    -------
    >>> check_device("cpu"), check_device(None)
    (None, None)
    >>> check_device("gpu")
    Traceback (most recent call last):
    ...
    speechbrain_merit.errors.SettingsError: device: gpu is none: give cpu, cuda, cuda:1, mps or ...
    """
    if device is None:
        return
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise SettingsError(
            f"device: {device} is none: give cpu, cuda, cuda:1, mps or leave it out."
        ) from None
    count = torch.cuda.device_count()
    if found.type == "cuda" and (found.index or 0) >= count:
        raise SettingsError(
            f"device: {device} is not here, torch sees {count} GPUs of NVIDIA: give cpu, or leave "
            "it out."
        )
    if found.type == "mps" and not torch.backends.mps.is_available():
        raise SettingsError(f"device: {device} is not here: give cpu, or leave it out.")

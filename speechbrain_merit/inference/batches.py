"""Batches of waves as they are given: tensors or arrays, lengths relative or in samples."""

import torch

from speechbrain_merit.lobes.spectrum import frame_counts


def checked(wavs, lengths, device):
    """Waves (B, S) as float32 where the network is, and their relative lengths or None.

    Arguments
    ---------
    wavs : torch.Tensor or array
        Waves (B, S).
    lengths : torch.Tensor or array, optional
        See :func:`relative`.
    device : str or torch.device
        Where the network is.

    Raises
    ------
    ValueError
        Not (B, S), NaN or infinite samples, or no lengths of these waves.

    Example
    -------
    >>> wavs, lengths = checked([[0.1, 0.2], [0.3, 0.0]], [2, 1], "cpu")
    >>> wavs.shape, lengths.tolist()
    (torch.Size([2, 2]), [1.0, 0.5])
    """
    wavs = torch.as_tensor(wavs)
    if wavs.dim() != 2:
        raise ValueError(f"Waves of shape {tuple(wavs.shape)}; (batch, samples) is needed.")
    wavs = wavs.float().to(device)  # in this order: not every device has float64
    if not bool(torch.isfinite(wavs).all()):
        raise ValueError("The waves hold NaN or infinite samples.")
    return wavs, relative(lengths, *wavs.shape)


def relative(lengths, n_waves, n_samples):
    """Relative lengths (B), in float64 on the CPU, of relative ones or of numbers of samples.

    Arguments
    ---------
    lengths : array of float or int, or None
        Floats are SpeechBrain's relative lengths, whole numbers are samples.
    n_waves, n_samples : int
        The batch they belong to.

    Raises
    ------
    ValueError
        Not one length a wave, floats outside (0, 1], samples outside 1 … S.

    Example
    -------
    >>> relative([16000, 8000], 2, 16000), relative(None, 2, 16000)
    (tensor([1.0000, 0.5000], dtype=torch.float64), None)
    """
    if lengths is None:
        return None
    lengths = torch.as_tensor(lengths).cpu()
    if lengths.shape != (n_waves,):
        raise ValueError(f"Lengths of shape {tuple(lengths.shape)} for {n_waves} waves.")
    longest = 1 if lengths.is_floating_point() else n_samples
    number = lengths.dtype != torch.bool and not lengths.is_complex()
    if not (number and bool(((lengths > 0) & (lengths <= longest)).all())):
        raise ValueError(
            f"Lengths {lengths.tolist()}: give SpeechBrain's relative ones, floats above 0 and up "
            f"to 1, or whole numbers of samples (.long()) up to the batch's {n_samples}."
        )
    return lengths.double() / longest


def unpadded(wavs, lengths):
    """The waves of a batch, each of its own length.

    Example
    -------
    >>> [len(wave) for wave in unpadded(torch.zeros(2, 10), torch.tensor([1.0, 0.5]))]
    [10, 5]
    """
    return [wave[:count] for wave, count in zip(wavs, frame_counts(lengths, *wavs.shape).tolist())]

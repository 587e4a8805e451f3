"""A network as ONNX can hold it: one wave (1, S) of any S at 16 kHz in, the result of a task out.

ONNX has no complex numbers and no inverse of the Fourier transform, so both transforms are products
with cosines and sines here. Experts still hear only the frames that were sent to them. All else is
the network's own code, traced. N spectral frames, F = 201 bins, W width of a frame.
"""

import copy

import torch
from torch import nn
from torch.nn.functional import conv1d, conv_transpose1d, pad

from speechbrain_merit.lobes.dual_path import DualPathHead
from speechbrain_merit.lobes.enhancement import MAGNITUDE_FLOOR
from speechbrain_merit.lobes.experts import spread
from speechbrain_merit.lobes.frames import NormalisedFrames
from speechbrain_merit.lobes.integration import Integrated, MixtureOfExperts
from speechbrain_merit.lobes.routing import route
from speechbrain_merit.lobes.spectrum import HOP, N_BINS, N_FFT


class Fourier(nn.Module):
    """The short-time Fourier transform in real numbers, and back.

    Arguments
    ---------
    window : torch.Tensor
        Analysis window (400).

    Example
    -------
    >>> wave, fourier = torch.randn(1, 1600), Fourier(torch.hamming_window(N_FFT))
    >>> real, imaginary = fourier(wave)
    >>> real.shape, torch.allclose(fourier.back(real, imaginary, 1600), wave, atol=1e-5)
    (torch.Size([1, 11, 201]), True)
    """

    def __init__(self, window):
        super().__init__()
        # angles of whole turns taken off first: cosines of large numbers are inexact
        turns = torch.outer(torch.arange(N_BINS), torch.arange(N_FFT)) % N_FFT
        angles = turns.double() * (2 * torch.pi / N_FFT)
        both = torch.cat([angles.cos(), -angles.sin()])
        once = torch.full((N_BINS, 1), 2.0, dtype=torch.float64)
        once[0] = once[-1] = 1.0  # these two have no mirror image among the negative frequencies
        window = window.detach().cpu().double()
        kernels = {
            "onward": both * window,
            "backward": both * torch.cat([once, once]) / N_FFT * window,
            "weight": window.square()[None],
        }
        for name, kernel in kernels.items():
            self.register_buffer(name, kernel.float().unsqueeze(1), persistent=False)

    def forward(self, wave):
        """A wave (1, S) to real and imaginary parts (1, N, F), N = S // 160 + 1."""
        framed = pad(wave.unsqueeze(1), (N_FFT // 2, N_FFT // 2), mode="reflect")
        parts = conv1d(framed, self.onward, stride=HOP).transpose(1, 2)
        return parts[..., :N_BINS], parts[..., N_BINS:]

    def back(self, real, imaginary, n_samples):
        """Real and imaginary parts (1, N, F) to a wave (1, S)."""
        parts = torch.cat([real, imaginary], dim=-1).transpose(1, 2)
        wave = conv_transpose1d(parts, self.backward, stride=HOP)
        weight = conv_transpose1d(torch.ones_like(parts[:, :1]), self.weight, stride=HOP)
        return (wave / weight)[:, 0, N_FFT // 2 : N_FFT // 2 + n_samples]


class Experts(nn.Module):
    """A mixture of experts over all frames of one wave; as MixtureOfExperts, without padding.

    Arguments
    ---------
    mixture : MixtureOfExperts
        Trained.

    Example
    -------
    >>> mixture, hidden = MixtureOfExperts(n_hidden=3, width=8).eval(), torch.randn(3, 1, 10, 8)
    >>> torch.allclose(Experts(mixture)(hidden).se, mixture(hidden).se, atol=1e-6)
    True
    """

    def __init__(self, mixture):
        super().__init__()
        self.mixture = mixture

    def forward(self, hidden, lengths=None, tasks=("se", "ser")):
        """Integrates hidden states (L, 1, T, D)."""
        mixture = self.mixture
        frames = NormalisedFrames(hidden.flatten(1, 2), mixture.layer_norms).tensor()
        routings = route({task: mixture.routers[task] for task in tasks}, frames)
        result = {task: self.chosen(frames, r).unsqueeze(0) for task, r in routings.items()}
        return Integrated(result.get("se"), result.get("ser"), {})

    def chosen(self, frames, routing):
        """What the chosen experts make of frames (N, W), under their weights: (N, D')."""
        experts = self.mixture.pool.experts
        shape = frames.shape[0], len(experts)  # len(frames) would be a constant to the tracer
        weights = spread(routing.weights, routing.experts, shape)
        total = torch.zeros_like(frames[:, : self.mixture.out])
        for index, expert in enumerate(experts):
            rows = weights[:, index].nonzero().squeeze(1)
            output = expert(frames[rows]) * weights[rows, index].unsqueeze(1)
            total = total.index_add(0, rows, output)
        return total


class Graph(nn.Module):
    """One task of a network, for one wave (1, S).

    Arguments
    ---------
    model : Merit
        Trained; stays as it is.
    task : str
        ``se`` or ``ser``.
    temperature : float
        Divides the logits.

    Example
    -------
    >>> from speechbrain_merit.lobes.emotion import EmotionHead
    >>> from speechbrain_merit.lobes.encoders import build_encoder
    >>> from speechbrain_merit.lobes.merit import Merit
    >>> model = Merit(build_encoder("mini"), MixtureOfExperts(3, 96), None, EmotionHead(96, 4))
    >>> graph = Graph(model.eval(), "ser")
    >>> graph.outputs, graph(torch.randn(1, 8000))[0].shape
    (['probabilities'], torch.Size([1, 4]))
    """

    def __init__(self, model, task, temperature=1.0):
        super().__init__()
        self.model, self.task, self.temperature = copy.deepcopy(model).cpu(), task, temperature
        if isinstance(self.model.integration, MixtureOfExperts):
            self.model.integration = Experts(self.model.integration)
        encoder, head = self.model.encoder, self.model.enhancement
        if hasattr(encoder, "power"):  # those that hear a wave itself have no spectrum
            self.heard = Fourier(encoder.window)
            encoder.power = self.power
        if task == "se":
            self.seen = Fourier(head.window)
            masks = not isinstance(head, DualPathHead)
            head.analyse = self.analyse if masks else self.spectrum
            head.synthesise = self.synthesise if masks else self.scaled

    @property
    def outputs(self):
        """The names of what :meth:`forward` gives."""
        if self.task == "se":
            return ["enhanced"]
        heads = {"probabilities": self.model.emotion, "attributes": self.model.attributes}
        return [name for name, head in heads.items() if head is not None]

    def forward(self, wave):
        """A wave (1, S) to the results that :attr:`outputs` names."""
        output = self.model(wave, None, (self.task,))
        if self.task == "se":
            return (output.waves,)
        logits = output.logits
        probabilities = None if logits is None else (logits / self.temperature).softmax(dim=-1)
        return tuple(one for one in (probabilities, output.attributes) if one is not None)

    def power(self, wave, lengths=None):
        """In place of an encoder's own, see :class:`WhisperHidden`."""
        real, imaginary = self.heard(wave)
        return real.square() + imaginary.square()

    def analyse(self, wave, lengths=None):
        """In place of an enhancement head's; the phase is a pair."""
        parts = self.seen(wave)
        magnitude = (parts[0].square() + parts[1].square()).sqrt() + MAGNITUDE_FLOOR
        return magnitude.log1p(), [part / magnitude for part in parts]

    def synthesise(self, log_magnitude, phase, wave, lengths=None):
        """In place of an enhancement head's."""
        magnitude = (log_magnitude.exp() - 1 - MAGNITUDE_FLOOR).clamp(min=0)  # it knows no expm1
        return self.seen.back(*(magnitude * part for part in phase), wave.shape[1])

    def spectrum(self, wave, lengths=None):
        """In place of a dual-path head's ``analyse``; the spectrum is a pair."""
        parts = self.seen(wave)
        return (parts[0].square() + parts[1].square()).sqrt(), parts

    def scaled(self, gain, parts, wave, lengths=None):
        """In place of a dual-path head's ``synthesise``."""
        return self.seen.back(*(gain * part for part in parts), wave.shape[1])

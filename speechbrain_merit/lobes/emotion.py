"""The emotion head: attentive statistics pooling and a classifier.

Attentive statistics pooling: Okabe et al., Interspeech 2018 (arXiv 1803.10963), in the form of the
MSP-Podcast baselines that Sparse MERIT uses.
"""

import torch
from torch import nn

from speechbrain_merit.lobes.precision import wide
from speechbrain_merit.lobes.spectrum import frame_mask

MIN_VARIANCE = 1e-5  # keeps the square root's gradient finite where a feature is constant


class AttentiveStatisticsPooling(nn.Module):
    """Mean and standard deviation over frames, weighted by softmax(tanh(Wx) · v).

    Arguments
    ---------
    width : int
        Width D' of a frame.

    Example
    -------
    >>> AttentiveStatisticsPooling(8)(torch.randn(2, 10, 8), torch.tensor([1.0, 0.5])).shape
    torch.Size([2, 16])
    """

    def __init__(self, width):
        super().__init__()
        self.sap_linear = nn.Linear(width, width)
        self.attention = nn.Parameter(torch.randn(width, 1) * width**-0.5)

    def forward(self, frames, lengths=None):
        """Pools frames (B, T, D') into (B, 2 · D')."""
        valid = frame_mask(lengths, *frames.shape[:2], device=frames.device)
        scores = torch.tanh(self.sap_linear(frames)) @ self.attention
        weights = wide(scores).masked_fill(~valid.unsqueeze(-1), -torch.inf).softmax(dim=1)
        frames = wide(frames)  # squares leave the range of half precision, sums its resolution
        mean = (weights * frames).sum(dim=1)
        variance = (weights * frames**2).sum(dim=1) - mean**2
        pooled = torch.cat([mean, variance.clamp(min=MIN_VARIANCE).sqrt()], dim=-1)
        return pooled.to(self.attention.dtype)


def build_head(names, width, hidden=None, dropout=0.5):
    """An :class:`EmotionHead` with an output for each name, None where there are none.

    Example
    -------
    >>> build_head(["arousal", "valence"], width=8).out.out_features
    2
    >>> build_head([], width=8) is None
    True
    """
    return EmotionHead(width, len(names), hidden, dropout) if names else None


class EmotionHead(nn.Module):
    """Pooling → dropout → linear, LayerNorm, ReLU, dropout → classes, or attributes.

    Arguments
    ---------
    width : int
        Width D' of a frame.
    n_classes : int
        Number of emotions.
    hidden : int, optional
        Width of the hidden layer; D' unless given (1024 in the paper).
    dropout : float
        Dropout before and after the hidden layer (0.5 in the paper).

    Example
    -------
    >>> EmotionHead(width=8, n_classes=4)(torch.randn(2, 10, 8)).shape
    torch.Size([2, 4])
    """

    def __init__(self, width, n_classes, hidden=None, dropout=0.5):
        super().__init__()
        hidden = hidden or width
        self.config = {
            "width": width,
            "n_classes": n_classes,
            "hidden": hidden,
            "dropout": dropout,
        }
        self.pool = AttentiveStatisticsPooling(width)
        self.fc = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(2 * width, hidden),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.out = nn.Linear(hidden, n_classes)

    def forward(self, frames, lengths=None):
        """Logits (B, classes) of frames (B, T, D')."""
        return self.out(self.fc(self.pool(frames, lengths)))

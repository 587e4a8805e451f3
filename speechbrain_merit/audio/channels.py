"""What is made of the channels of a recording: offsets taken off, and one channel of many.

An offset (DC) is no sound: it is taken off before anything is measured. One channel is the mean of
all, unless these cancel each other, as where one of two is inverted: then it is the strongest.
"""

import numpy as np

#: An offset is what all pieces of this many seconds, and at least so many, have in common …
PIECE_SECONDS, PIECES = 0.05, 20
#: … by so many standard errors of their means: speech, noise and rumble do not reach it by chance.
STEADY = 6.0
#: Offsets below this share of the sound's root mean square (−60 dB) stay: bytes for nothing.
NOTABLE = 1e-3
#: Channels cancel where their mean has less than this share of the power that the mean of channels
#: which have nothing in common has. Of two, equally loud, the correlation is then below −0.5.
CANCELLED = 0.5
ALIKE = 0.8  # share of the strongest channel's power, −1 dB: of channels alike, the first


class Channels:
    """What the channels of a recording have in common: offsets, and whether they cancel.

    Arguments
    ---------
    n_channels, rate : int
        Of the samples that are added.

    Example
    -------
    >>> time = np.arange(8000)[:, None] / 8000
    >>> wave = (0.1 * np.sin(2 * np.pi * 100 * time)).astype(np.float32)
    >>> channels = Channels(2, 8000).add(np.concatenate([wave + 0.25, -wave], axis=1))
    >>> channels.offsets().round(3).tolist(), channels.strongest()
    ([0.25, 0.0], 0)
    """

    def __init__(self, n_channels, rate):
        self.piece, self.rate, self.count, self.pieces = None, rate, 0, 0
        self.sum, self.piece_sum, self.piece_square = np.zeros((3, n_channels))
        self.products = np.zeros((n_channels, n_channels))

    def add(self, block):
        """Takes samples (n, channels), of a short recording all at once; returns itself."""
        if self.piece is None:
            self.piece = max(1, min(round(PIECE_SECONDS * self.rate), len(block) // PIECES))
        wide = block.astype(np.float64)
        self.count += len(wide)
        self.sum += wide.sum(axis=0)
        self.products += np.einsum("nc,nd->cd", wide, wide)  # BLAS is slow at so narrow a product
        pieces = wide[: len(wide) // self.piece * self.piece]
        means = pieces.reshape(-1, self.piece, block.shape[1]).mean(axis=1)
        self.pieces += len(means)
        self.piece_sum += means.sum(axis=0)
        self.piece_square += np.square(means).sum(axis=0)
        return self

    def covariance(self):
        """Of the channels (C, C), without their means."""
        mean = self.sum / max(1, self.count)
        return self.products / max(1, self.count) - np.outer(mean, mean)

    def offsets(self):
        """The offset of each channel (C), 0 where there is none to speak of."""
        mean = self.sum / max(1, self.count)
        sound = np.sqrt(np.diag(self.covariance()).clip(0))
        pieces = max(2, self.pieces)
        spread = self.piece_square / pieces - np.square(self.piece_sum / pieces)
        error = np.sqrt(spread.clip(0) / (pieces - 1))
        steady = (np.abs(mean) > STEADY * error) & (np.abs(mean) > NOTABLE * sound)
        return np.where(steady & (self.pieces > 1), mean, 0.0).astype(np.float32)

    def strongest(self):
        """The channel to hear in place of all, where these cancel each other; otherwise None."""
        covariance = self.covariance()
        powers = np.diag(covariance)
        unrelated = powers.sum() / len(powers) ** 2
        if len(powers) > 1 and covariance.mean() < CANCELLED * unrelated:
            return int((powers >= ALIKE * powers.max()).argmax())
        return None

    def warnings(self):
        """What a user should know."""
        strongest = self.strongest()
        if strongest is None:
            return []
        return [f"its channels cancel each other (is one inverted?): channel {strongest} alone"]

    def centred(self, block):
        """Samples (n, channels) without their offsets; without any, the very samples."""
        offsets = self.offsets()
        return block - offsets if offsets.any() else block

    def mixed(self, block):
        """The one channel (n) of samples (n, channels)."""
        strongest, block = self.strongest(), self.centred(block)
        return block.mean(axis=1) if strongest is None else block[:, strongest]

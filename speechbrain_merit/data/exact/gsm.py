"""GSM 06.10, full rate: telephone speech at 13 kbit/s (regular pulse excitation, long prediction).

ETSI EN 300 961 (GSM 06.10), from whose section 5 this is written: the same whole numbers of 16 and
32 bits. The decoder's excitation is what the encoder keeps for its own prediction, so that one pass
gives what comes out at the other end.
"""

import numpy as np

FRAME, PART = 160, 40  # samples of a frame and of its four parts
# Quantisation of the eight log area ratios, table 5.1
A = (20480, 20480, 20480, 20480, 13964, 15360, 8534, 9036)
B = (0, 0, 2048, -2560, 94, -1792, -341, -1144)
LOWEST = (-32, -32, -16, -16, -8, -8, -4, -4)
HIGHEST = (31, 31, 15, 15, 7, 7, 3, 3)
INVERSE_A = (13107, 13107, 13107, 13107, 19223, 17476, 31454, 29708)
# Long-term gain: decision and quantising levels, tables 5.3a and b
DLB, QLB = (6554, 16384, 26214), (3277, 11469, 21299, 32767)
WEIGHTS = np.array([-134, -374, 0, 2054, 5741, 8192, 5741, 2054, 0, -374, -134])  # table 5.4
NRFAC = (29128, 26215, 23832, 21846, 20165, 18725, 17476, 16384)  # table 5.5
FAC = (18431, 20479, 22527, 24575, 26623, 28671, 30719, 32767)  # table 5.6
EMPHASIS = 28180


def gsm(samples):
    """Samples, int16 at 8 kHz, coded and decoded; the last frame is filled up with silence.

    Example
    -------
    >>> gsm(np.zeros(200, dtype=np.int16)).shape
    (200,)
    """
    samples = np.asarray(samples, dtype=np.int64)
    whole = np.zeros(-(-len(samples) // FRAME) * FRAME, dtype=np.int64)
    whole[: len(samples)] = samples
    coder = _Coder()
    frames = [coder(frame.tolist()) for frame in whole.reshape(-1, FRAME)]
    return np.array(frames, dtype=np.int16).reshape(-1)[: len(samples)]


class _Coder:
    """Encoder and decoder, frame by frame."""

    def __init__(self):
        self.z1 = self.z2 = self.mp = self.msr = 0
        self.ratios = [0] * 8  # decoded log area ratios of the frame before
        self.analysis, self.synthesis = [0] * 8, [0] * 9  # states of the two lattices
        self.past = np.zeros(120, dtype=np.int64)  # of the excitation

    def __call__(self, frame):
        """The output for a frame of 160 samples."""
        speech, reflection = _reflection(self._emphasised(frame))
        ratios = [_decoded_ratio(i, _ratio(value)) for i, value in enumerate(reflection)]
        sets = _interpolated(self.ratios, ratios)
        self.ratios = ratios
        residual, excitation, decoded = [], [], []
        for piece, reflection in zip(_pieces(speech), sets):
            residual += self._analysed(piece, reflection)
        for start in range(0, FRAME, PART):
            excitation += self._excitation(np.array(residual[start : start + PART]))
        for piece, reflection in zip(_pieces(excitation), sets):
            decoded += self._spoken(piece, reflection)
        return [self._deemphasised(sample) for sample in decoded]

    def _emphasised(self, frame):
        """Sections 5.2.1 to 5.2.3: scaling, offset compensation, pre-emphasis."""
        out = []
        for sample in frame:
            sample = sample >> 3 << 2
            step = sample - self.z1
            self.z1 = sample
            high, low = self.z2 >> 15, self.z2 & 32767
            self.z2 = _long(high * 32735 + _long((step << 15) + _rounded(low, 32735)))
            level = _short(_long(self.z2 + 16384) >> 15)
            out.append(_short(level + _rounded(self.mp, -EMPHASIS)))
            self.mp = level
        return out

    def _analysed(self, samples, reflection):
        """Section 5.2.10: the short-term residual."""
        u = self.analysis
        for value in samples:
            save = value
            for i, rp in enumerate(reflection):
                past = u[i]
                u[i] = save
                save = _short(past + (rp * value + 16384 >> 15))
                value = _short(value + (rp * past + 16384 >> 15))
            yield value

    def _spoken(self, samples, reflection):
        """Section 5.3.4: the short-term synthesis."""
        v, backwards = self.synthesis, tuple(enumerate(reflection))[::-1]
        for value in samples:
            for i, rp in backwards:
                value = _short(value - (rp * v[i] + 16384 >> 15))
                v[i + 1] = _short(v[i] + (rp * value + 16384 >> 15))
            v[0] = value
            yield value

    def _deemphasised(self, sample):
        """Sections 5.3.5 to 5.3.7."""
        self.msr = _short(sample + _rounded(self.msr, EMPHASIS))
        return _short(2 * self.msr) >> 3 << 3

    def _excitation(self, residual):
        """Sections 5.2.11 to 5.2.18 of a quarter frame: what the decoder is excited by."""
        lag, factor = self._long_term(residual)
        start = len(self.past) - lag
        predicted = _rounded(self.past[start : start + PART], factor)
        error = np.clip(residual - predicted, -32768, 32767)
        excitation = np.clip(predicted + _pulses(error), -32768, 32767)
        self.past = np.concatenate([self.past[PART:], excitation])
        return excitation.tolist()

    def _long_term(self, residual):
        """Section 5.2.11: lag (40 to 120) and decoded gain of the long-term prediction."""
        largest = min(int(np.abs(residual).max()), 32767)
        shift = max(0, 6 - _headroom(largest << 16)) if largest else 0
        windows = np.lib.stride_tricks.sliding_window_view(self.past, PART)[::-1]  # lag 40 first
        products = 2 * (windows @ (residual >> shift))
        best = int(products.argmax())
        lag, most = PART + best, int(products[best])
        most >>= 6 - shift
        if most <= 0:
            return lag if products[best] > 0 else PART, QLB[0]
        past = windows[best] >> 3
        power = 2 * int(past @ past)
        if most >= power:
            return lag, QLB[3]
        up = _headroom(power)
        ratio, unit = most << up >> 16, power << up >> 16
        return lag, QLB[sum(ratio > (unit * level >> 15) for level in DLB)]


def _reflection(speech):
    """Sections 5.2.4 and 5.2.5: the speech as it goes on, and its reflection coefficients."""
    largest = min(max(map(abs, speech)), 32767)
    shift = max(0, 4 - _headroom(largest << 16)) if largest else 0
    if shift:
        speech = [_rounded(value, 16384 >> shift - 1) for value in speech]
    wave = np.array(speech)
    acf = [2 * int(wave[lag:] @ wave[: FRAME - lag]) for lag in range(9)]
    return [value << shift for value in speech], _schur(acf)


def _schur(acf):
    """The recursion of section 5.2.5."""
    r = [0] * 8
    if not acf[0]:
        return r
    up = _headroom(acf[0])
    p = [value << up >> 16 for value in acf]
    k = list(p)
    for n in range(8):
        size = min(abs(p[1]), 32767)
        if p[0] < size:
            break
        quotient = 32767 if size == p[0] else (size << 15) // p[0]
        r[n] = -quotient if p[1] > 0 else quotient
        p[0] = _short(p[0] + _rounded(p[1], r[n]))
        for m in range(1, 8 - n):
            p[m], k[m] = (
                _short(p[m + 1] + _rounded(k[m], r[n])),
                _short(k[m] + _rounded(p[m + 1], r[n])),
            )
    return r


def _ratio(r):
    """Section 5.2.6: the log area ratio of a reflection coefficient."""
    size = min(abs(r), 32767)
    size = size >> 1 if size < 22118 else size - 11059 if size < 31130 else size - 26112 << 2
    return -size if r < 0 else size


def _decoded_ratio(i, ratio):
    """Sections 5.2.7 and 5.2.8: quantised and decoded."""
    code = _short(_short((A[i] * ratio >> 15) + B[i]) + 256) >> 9
    code = max(LOWEST[i], min(HIGHEST[i], code))
    value = _rounded(INVERSE_A[i], _short((code << 10) - (B[i] << 1)))
    return _short(2 * value)


def _interpolated(old, new):
    """Section 5.2.9: the reflection coefficients of the four pieces of a frame."""
    mixed = (
        [(a >> 2) + (b >> 2) + (a >> 1) for a, b in zip(old, new)],
        [(a >> 1) + (b >> 1) for a, b in zip(old, new)],
        [(a >> 2) + (b >> 2) + (b >> 1) for a, b in zip(old, new)],
        new,
    )
    return [[_coefficient(_short(ratio)) for ratio in ratios] for ratios in mixed]


def _coefficient(ratio):
    size = min(abs(ratio), 32767)
    size = size << 1 if size < 11059 else size + 11059 if size < 20070 else (size >> 2) + 26112
    size = _short(size)
    return -size if ratio < 0 else size


def _pieces(frame):
    """A frame in the pieces that have a set of coefficients each."""
    return frame[:13], frame[13:27], frame[27:40], frame[40:]


def _pulses(error):
    """Sections 5.2.13 to 5.2.17: weighted, every third sample taken, quantised, decoded."""
    weighted = np.convolve(error, WEIGHTS)[5 : 5 + PART]
    weighted = np.clip(weighted + 4096 >> 13, -32768, 32767)
    grids = [weighted[start : start + 37 : 3] for start in range(4)]
    energies = [int((grid >> 2) @ (grid >> 2)) for grid in grids]
    start = energies.index(max(energies))
    grid = grids[start]
    exponent, mantissa = _block_scale(min(int(np.abs(grid).max()), 32767))
    codes = ((grid << 6 - exponent) * NRFAC[mantissa] >> 15) >> 12
    values = _rounded((2 * codes + 1) << 12, FAC[mantissa])
    down = 6 - exponent
    pulses = np.zeros(PART, dtype=np.int64)
    half = 1 << down >> 1
    pulses[start : start + 37 : 3] = np.clip(values + half, -32768, 32767) >> down
    return pulses


def _block_scale(largest):
    """Section 5.2.15: exponent and mantissa of the largest pulse, as they are decoded."""
    exponent = min(6, (largest >> 9).bit_length())
    code = (largest >> exponent + 5) + (exponent << 3)
    exponent = (code >> 3) - 1 if code > 15 else 0
    mantissa = code - (exponent << 3)
    if mantissa == 0:
        return -4, 7
    while mantissa <= 7:
        mantissa, exponent = mantissa << 1 | 1, exponent - 1
    return exponent, mantissa - 8


def _headroom(value):
    """norm: by how many places a number of 32 bits, above 0, can be shifted to the left."""
    return 31 - value.bit_length()


def _rounded(a, b):
    """mult_r: a product over 2¹⁵, rounded."""
    return a * b + 16384 >> 15


def _short(value):
    """A number within 16 bits."""
    return 32767 if value > 32767 else -32768 if value < -32768 else value


def _long(value):
    """A number within 32 bits."""
    return max(-(1 << 31), min((1 << 31) - 1, value))

"""G.721, adaptive differential PCM: telephone speech in 4 bits a sample, 32 kbit/s.

CCITT G.721 (1988), today ITU-T G.726 at 32 kbit/s, from whose formulas (section 4) this is written;
names in the code are those of its blocks. The decoder's output is computed in the encoder's loop,
since the encoder holds a copy of it.
"""

import numpy as np

# Of the 8 sizes of a difference, each table: lower ends in the logarithmic domain (Q), the value
# that stands for it (DQLN), and how it moves the scale (W) and the speed of adaptation (F).
QUANTISER = (80, 178, 246, 300, 349, 400)
DQLN = (-2048, 4, 135, 213, 273, 323, 373, 425)
W = (-12, 18, 41, 64, 112, 198, 355, 1122)
F = (0, 0, 0, 1, 1, 1, 3, 7)


def g721(samples):
    """Samples, int16 at 8 kHz, coded and decoded.

    Example
    -------
    >>> g721(np.zeros(3, dtype=np.int16)).tolist()
    [0, 0, 0]
    """
    coder = _Coder()
    return np.array([coder(int(sample)) for sample in samples], dtype=np.int16)


class _Coder:
    """What encoder and decoder share: scale, speed and predictor."""

    def __init__(self):
        self.yu, self.yl = 544, 34816  # scale: fast and slow
        self.ap = self.dms = self.dml = 0  # speed of its adaptation
        self.tone = False
        self.a = [0, 0]  # predictor over past outputs
        self.b = [0] * 6  # and past differences
        self.sr = [(0, 0, 32)] * 2  # past outputs and differences as (sign, exponent, mantissa)
        self.dq = [(0, 0, 32)] * 6
        self.signs = [0, 0]  # of the last two sums dq + sez

    def __call__(self, sample):
        """The output for a sample, both in 16 bits."""
        zeros = sum(map(_product, self.b, self.dq))
        sez = _wrapped(zeros) >> 1
        se = _wrapped(zeros + sum(map(_product, self.a, self.sr))) >> 1
        y = self._scale()
        negative, size = _quantised((sample >> 2) - se, y)
        dq = _reconstructed(size, y)
        output = se - dq if negative else se + dq
        self._adapt(negative, size, dq, output, output + sez - se, y)
        return max(-32768, min(32767, output << 2))

    def _scale(self):
        """MIX: between the slow scale and the fast one."""
        if self.ap >= 256:
            return self.yu
        slow = self.yl >> 6
        product = abs(self.yu - slow) * (self.ap >> 2) >> 6
        return slow + (product if self.yu >= slow else -product)

    def _adapt(self, negative, size, dq, output, dqsez, y):
        """Everything that a sample changes for the next one."""
        transition = self.tone and dq > self._threshold()
        # FUNCTW, FILTD, LIMB, FILTE
        self.yu = max(544, min(5120, y + ((W[size] << 5) - y >> 5)))
        self.yl += self.yu + (-self.yl >> 6)
        if transition:
            self.a, self.b = [0, 0], [0] * 6
        else:
            self._adapt_predictor(negative, dq, dqsez)
        self.tone = self.a[1] < -11776
        self.signs = [int(dqsez < 0), self.signs[0]]
        self.sr = [_floating(output < 0, abs(output)), self.sr[0]]
        self.dq = [_floating(negative, dq), *self.dq[:5]]
        # FILTA, FILTB, SUBTC, FILTC
        self.dms += (F[size] << 9) - self.dms >> 5
        self.dml += (F[size] << 11) - self.dml >> 7
        unsteady = abs((self.dms << 2) - self.dml) >= self.dml >> 3
        if transition:
            self.ap = 256
        else:
            self.ap += (512 if y < 1536 or unsteady or self.tone else 0) - self.ap >> 4

    def _threshold(self):
        """TRANS: how large a difference tells that a modem's tone has ended."""
        whole, part = self.yl >> 15, self.yl >> 10 & 31
        limit = 31 << 10 if whole > 9 else (32 + part) << whole
        return limit + (limit >> 1) >> 1

    def _adapt_predictor(self, negative, dq, dqsez):
        """UPA2, LIMC, UPA1, LIMD and UPB."""
        a1, a2 = self.a
        sign = int(dqsez < 0)
        a2 -= a2 >> 7
        a1_next = a1 - (a1 >> 8)
        if dqsez:
            alike = sign == self.signs[0]
            fa1 = -a1 if alike else a1
            a2 += -256 if fa1 < -8191 else 255 if fa1 > 8191 else fa1 >> 5
            a2 += 128 if sign == self.signs[1] else -128
            a1_next += 192 if alike else -192
        a2 = max(-12288, min(12288, a2))
        limit = 15360 - a2
        self.a = [max(-limit, min(limit, a1_next)), a2]
        self.b = [value - (value >> 8) for value in self.b]
        if dq:
            signs = (1 if negative == past[0] else -1 for past in self.dq)
            self.b = [value + 128 * step for value, step in zip(self.b, signs)]


def _quantised(difference, y):
    """LOG, SUBTB and QUAN: sign and size (0 to 7) of a difference."""
    magnitude = abs(difference)
    exponent = (magnitude >> 1).bit_length()
    logarithm = (exponent << 7) + ((magnitude << 7 >> exponent) & 127) - (y >> 2)
    size = sum(logarithm >= end for end in QUANTISER) + 1 if logarithm >= -124 else 0
    # Size 0 has no code with a + sign: it is sent as −
    return int(difference < 0 or size == 0), size


def _reconstructed(size, y):
    """ADDA and ANTILOG: the magnitude that a size stands for."""
    logarithm = DQLN[size] + (y >> 2)
    if logarithm < 0:
        return 0
    return ((128 + (logarithm & 127)) << 7) >> (14 - (logarithm >> 7 & 15))


def _floating(negative, magnitude):
    """FLOATA, FLOATB: sign, exponent and a mantissa of 6 bits."""
    exponent = magnitude.bit_length()
    return int(negative), exponent, (magnitude << 6 >> exponent) if magnitude else 32


def _product(factor, value):
    """FMULT: a coefficient times a past value in floating point of 6 bits."""
    sign, exponent, mantissa = value
    magnitude = (factor >> 2 if factor >= 0 else -(factor >> 2)) & 8191
    bits = magnitude.bit_length()
    own = magnitude << 6 >> bits if magnitude else 32
    exponent += bits
    mantissa = mantissa * own + 48 >> 4
    if exponent <= 26:
        size = mantissa << 7 >> 26 - exponent
    else:
        size = mantissa << 7 << exponent - 26 & 32767
    return -size if sign ^ (factor < 0) else size


def _wrapped(value):
    """ACCUM: a sum within 16 bits."""
    return (value + 32768 & 65535) - 32768

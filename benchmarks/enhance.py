"""Runs a public enhancer over a benchmark; its files then go to ``evaluate.py --enhanced``.

> python benchmarks/enhance.py rnnoise BENCHMARK OUT      # pip install pyrnnoise
> python benchmarks/enhance.py webrtc BENCHMARK OUT       # pip install webrtc-noise-gain
> python benchmarks/enhance.py noisereduce BENCHMARK OUT  # pip install noisereduce

Each is used as its package documents it, with its defaults. None of them is needed for anything
else, so they are no dependencies of the project.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly
from tqdm import tqdm

from speechbrain_merit.data.exact.filters import RATE
from speechbrain_merit.data.noisyemo.build import read_flac, write_flac
from speechbrain_merit.data.noisyemo.reading import Benchmark

FULL = 48000  # Hz, the only rate of RNNoise
CHUNK = RATE // 100  # what WebRTC takes at a time
SUPPRESSION = 3  # of WebRTC, 0 to 4


def int16(wave):
    """Samples of full scale 1 as int16, cut at its ends."""
    return np.clip(np.rint(wave * 32768), -32768, 32767).astype(np.int16)


def rnnoise(samples):
    """RNNoise at 48 kHz; what comes out is brought back to 16 kHz."""
    from pyrnnoise.rnnoise import FRAME_SIZE, create, destroy, process_mono_frame

    wide = int16(resample_poly(samples / 32768, FULL // RATE, 1))
    wide = np.pad(wide, (0, -len(wide) % FRAME_SIZE))
    state = create()
    frames = [process_mono_frame(state, frame)[0] for frame in wide.reshape(-1, FRAME_SIZE)]
    destroy(state)
    return int16(resample_poly(np.concatenate(frames) / 32768, 1, FULL // RATE))


def webrtc(samples):
    """WebRTC's noise suppression, without its gain control."""
    from webrtc_noise_gain import AudioProcessor

    processor = AudioProcessor(0, SUPPRESSION)
    whole = np.pad(samples, (0, -len(samples) % CHUNK)).astype("<i2")
    chunks = [processor.Process10ms(c.tobytes()).audio for c in whole.reshape(-1, CHUNK)]
    return np.frombuffer(b"".join(chunks), dtype="<i2").astype(np.int16)


def noisereduce(samples):
    """Spectral gating by noisereduce, its noise estimated on the recording itself."""
    from noisereduce import reduce_noise

    return int16(reduce_noise(y=samples / 32768, sr=RATE))


TOOLS = {tool.__name__: tool for tool in (rnnoise, webrtc, noisereduce)}


def main():
    """Enhances every file that is not there yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tool", choices=TOOLS)
    parser.add_argument("benchmark", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    for item in tqdm(Benchmark(given.benchmark).items, given.tool):
        path = given.out / item.file
        if not path.is_file():
            samples = read_flac(given.benchmark / item.file)
            write_flac(path, TOOLS[given.tool](samples)[: len(samples)])


if __name__ == "__main__":
    main()

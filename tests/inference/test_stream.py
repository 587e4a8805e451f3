"""MeritStream: as many samples as came, the same whatever the blocks, and as a file in the end."""

import gc
import itertools

import numpy as np
import pytest
import soundfile as sf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechbrain_merit.audio import speech_presence
from speechbrain_merit.audio.windows import Joiner, Windower, live_plan
from speechbrain_merit.errors import MeritError, StreamError
from speechbrain_merit.inference import MeritStream, hearing, stream
from speechbrain_merit.inference.smoothing import Smoother
from speechbrain_merit.inference.timeline import NO_SPEECH
from tests.inference.test_inference import LABELS, RATE, build, wave

LATENCIES = [0.25, 0.3, 0.75, 1.0, 2.0, 3.7, 4]


@pytest.fixture(scope="module")
def merit(tmp_path_factory):
    """A tiny network with random weights whose windows are of four seconds."""
    return build(tmp_path_factory.mktemp("stream") / "tiny", window_seconds=4)


@pytest.fixture
def lively(monkeypatch):
    """Loud samples are speech, so that timelines have something to tell."""

    def speech(wavs, lengths=None):
        frames = wavs.unfold(1, 512, 512).square().mean(dim=-1)
        return torch.nn.functional.pad(frames > 0.004, (0, 1))

    monkeypatch.setattr(hearing, "speech_frames", speech)
    monkeypatch.setattr(speech_presence, "LOWEST_SNR", -1000.0)


def streamed(merit, samples, sizes, **options):
    """The stream, and the chunks of samples in blocks of sizes that come in turns."""
    live, chunks, at = MeritStream(merit, **options), [], 0
    for size in itertools.cycle(sizes):
        if at >= len(samples):
            return live, chunks + live.finish()
        chunks += live.push(samples[at : at + size])
        at += size


def joined(chunks):
    return torch.cat([chunk.enhanced for chunk in chunks])


def same(one, other):
    """Whether two lists of chunks are equal to the bit."""
    return len(one) == len(other) and all(
        torch.equal(a.enhanced, b.enhanced) and a[1:] == b[1:] for a, b in zip(one, other)
    )


# As a file


@pytest.mark.parametrize("seconds", [0.7, 3.0, 3.2, 4.0, 4.001, 6.0, 9.37])
def test_with_the_latency_of_the_file_mode_it_gives_what_a_file_gives(
    merit, lively, tmp_path, seconds
):
    x = wave(seconds)
    x[round(0.3 * len(x)) : round(0.9 * len(x))] *= 0.01
    sf.write(tmp_path / "a.wav", x, RATE, subtype="FLOAT")
    analysis = merit.analyse_file(tmp_path / "a.wav")
    live, chunks = streamed(merit, x, [777], latency=4)
    assert torch.equal(joined(chunks), analysis.enhanced)
    assert live.timeline(chunks) == analysis.segments
    assert len({segment.emotion for segment in analysis.segments}) > 1 or seconds < 6


@pytest.mark.parametrize("rate, channels", [(8000, 1), (44100, 1), (16000, 2), (48000, 2)])
def test_other_rates_and_channels_are_heard_as_those_of_a_file(
    merit, lively, tmp_path, rate, channels
):
    x = np.stack([wave(5.3, seed, rate) for seed in range(channels)], axis=1)
    sf.write(tmp_path / "a.wav", x, rate, subtype="FLOAT")
    analysis = merit.analyse_file(tmp_path / "a.wav", tmp_path / "b.wav", keep_rate=True)
    live, chunks = streamed(
        merit, x if channels > 1 else x[:, 0], [999], sample_rate=rate, channels=channels, latency=4
    )
    written, written_rate = sf.read(tmp_path / "b.wav", dtype="float32")
    assert written_rate == rate and np.array_equal(joined(chunks).numpy(), written)
    emotions = [(s.emotion, s.score) for s in live.timeline(chunks)]
    assert emotions == [(s.emotion, s.score) for s in analysis.segments]


# Whatever the blocks


@pytest.mark.parametrize("latency", LATENCIES)
def test_blocks_of_any_size_give_the_same_to_the_bit(merit, lively, latency):
    x = wave(5.21)
    _, whole = streamed(merit, x, [len(x)], latency=latency)
    assert len(joined(whole)) == len(x)
    for sizes in ([160], [1, 4000, 12345], [RATE]):
        assert same(streamed(merit, x, sizes, latency=latency)[1], whole)


@pytest.mark.parametrize("rate", [8000, 11025, 48000])
def test_at_other_rates_too_as_many_samples_come_back_as_went_in(merit, rate):
    for count in (1, 40, 999, 2 * rate + 7):
        x = wave(count / rate, rate=rate)
        assert len(x) == count
        _, whole = streamed(merit, x, [count], sample_rate=rate)
        _, pieces = streamed(merit, x, [count // 7 + 1], sample_rate=rate)
        assert len(joined(whole)) == count and same(whole, pieces)


@pytest.mark.parametrize("latency", LATENCIES)
def test_a_chunk_comes_within_the_latency_and_lies_where_it_says(merit, latency):
    live, x, given = MeritStream(merit, latency=latency), wave(9.5), 0
    for at in range(0, len(x), 100):
        for chunk in live.push(x[at : at + 100]):
            assert chunk.at == given / RATE and 0 < len(chunk.enhanced) <= RATE
            given += len(chunk.enhanced)
        late = latency + (1 / RATE if latency == 4 else 0)  # a file might have ended there
        assert at + 100 - given < late * RATE + 100
    rest = live.finish()
    assert given + sum(len(chunk.enhanced) for chunk in rest) == len(x)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
def test_filters_of_other_rates_add_a_quarter_of_a_second_at_most(merit, rate):
    live, given = MeritStream(merit, rate, latency=0.5), 0
    for index in range(400):
        given += sum(len(chunk.enhanced) for chunk in live.push(np.zeros(rate // 100)))
        assert (index + 1) / 100 - given / rate < 0.5 + 0.25 + 0.01


def test_the_enhanced_signal_lies_under_the_input(merit):
    """A chunk is of the samples at its place: no delay creeps in, at any rate."""
    for rate in (RATE, 44100):
        x = wave(3, rate=rate)
        _, chunks = streamed(merit, x, [1000], sample_rate=rate)
        y = joined(chunks).numpy()
        spectrum = np.fft.rfft(x, 2 * len(x)) * np.conj(np.fft.rfft(y, 2 * len(x)))
        assert abs(int(np.argmax(np.abs(np.fft.irfft(spectrum))))) <= 1


@given(
    seconds=st.floats(0.01, 14), latency=st.floats(0.25, 9.9), longest=st.sampled_from([4, 10, 30])
)
@settings(max_examples=60)
def test_windows_of_a_stream_cover_it_once_and_join_to_it(seconds, latency, longest):
    latency = min(latency, longest - 0.01)
    plan = live_plan(latency, longest)
    assert (
        plan.hop + plan.look_ahead <= latency * RATE < plan.hop + plan.look_ahead + 3 * 320 + RATE
    )
    x = np.random.default_rng(0).normal(size=(1, round(seconds * RATE)))
    windower, joiner, pieces, cells = Windower(plan), Joiner(plan), [], []
    windows = windower.push(x) + windower.finish()
    for window in windows:
        at = window.start
        assert np.array_equal(window.wavs, x[:, at : at + window.wavs.shape[1]])
        assert window.wavs.shape[1] <= max(plan.length, plan.first) <= longest * RATE
        pieces.append(joiner.add(window, torch.from_numpy(window.wavs)))
        cells += window.cells
    np.testing.assert_allclose(torch.cat(pieces, dim=1).numpy(), x, atol=1e-12)
    assert cells[0][0] == 0 and cells[-1][1] == x.shape[1]
    assert all(a[1] == b[0] for a, b in zip(cells, cells[1:]))
    assert all(0 < end - begin <= RATE for begin, end in cells)
    assert [window.last for window in windows] == [False] * (len(windows) - 1) + [True]


# What a chunk says


def test_a_chunk_says_what_was_heard_around_it(merit, lively):
    x = wave(4)
    x[2 * RATE :] = 0
    _, chunks = streamed(merit, x, [500], latency=0.5)
    for chunk in chunks:
        begin = round(chunk.at * RATE)
        noisy = torch.from_numpy(x[begin : begin + len(chunk.enhanced)])
        kept, removed = chunk.enhanced.square().sum(), (noisy - chunk.enhanced).square().sum()
        if chunk.snr_db is None:
            assert not kept or not removed
        else:
            assert chunk.snr_db == pytest.approx(10 * float((kept / removed).log10()), abs=1e-3)
        assert chunk.speech == (chunk.probabilities is not None)
        assert chunk.speech or chunk.emotion == NO_SPEECH or chunk.at < 3
        if chunk.speech:
            assert list(chunk.probabilities) == LABELS
            assert sum(chunk.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert chunks[3].speech and chunks[3].emotion in LABELS


def test_silence_is_no_speech_and_stays_silent(merit):
    _, chunks = streamed(merit, np.zeros(3 * RATE, np.float32), [800])
    assert {chunk.emotion for chunk in chunks} == {NO_SPEECH}
    assert all(chunk.snr_db is None and not chunk.enhanced.any() for chunk in chunks)


@given(
    pieces=st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60),
    size=st.integers(1600, 16000),
)
@settings(max_examples=200)
def test_what_is_shown_changes_once_a_second_at_most(pieces, size):
    shown = Smoother(["sad", "happy"])
    seen = [
        shown.add(np.array([p, 1 - p]), speech, index * size, (index + 1) * size)
        for index, (p, speech) in enumerate(pieces)
    ]
    changes = [i * size for i in range(1, len(seen)) if seen[i] != seen[i - 1]]
    assert all(b - a >= RATE for a, b in zip(changes, changes[1:]))
    assert set(seen) <= {"sad", "happy", NO_SPEECH}
    if all(speech for _, speech in pieces) and all(p > 0.5 for p, _ in pieces):
        assert set(seen) == {"sad"}


def test_one_doubtful_piece_does_not_change_what_is_shown():
    shown, sure, doubtful = Smoother(["sad", "happy"]), np.array([0.9, 0.1]), np.array([0.4, 0.6])
    pieces = [sure] * 6 + [doubtful] + [sure] * 3
    assert {shown.add(p, True, 8000 * i, 8000 * (i + 1)) for i, p in enumerate(pieces)} == {"sad"}


# What is pushed


def test_number_types_mean_the_same(merit):
    whole = (wave(1.5) * 2**15).astype(np.int16)
    expected = streamed(merit, whole, [1000])[1]
    floats = whole.astype(np.float64) / 2**15
    for form in (
        floats,
        floats.astype(np.float32),
        torch.from_numpy(floats),
        torch.from_numpy(whole),
        whole.astype(np.int32) * 2**16,
        floats[:, None],
    ):
        assert same(streamed(merit, form, [1000])[1], expected)
    live = MeritStream(merit)
    assert same(live.push(floats.tolist()) + live.finish(), expected)


def test_a_block_may_be_written_over_after_it_was_pushed(merit):
    x, live, chunks, block = wave(2), MeritStream(merit), [], np.zeros(400, np.float32)
    for at in range(0, len(x), 400):
        block[:] = x[at : at + 400]
        chunks += live.push(block)
    block[:] = 1
    assert same(chunks + live.finish(), streamed(merit, x, [400])[1])


def test_nothing_gives_nothing(merit):
    live = MeritStream(merit, channels=2)
    for nothing in ([], np.zeros((0, 2)), np.zeros((2, 0)), torch.zeros(0)):
        assert live.push(nothing) == []
    assert live.finish() == [] and live.timeline([]) == []


@pytest.mark.parametrize(
    "block, message",
    [
        (np.zeros((100, 3)), "shape.*open another one for other channels"),
        (np.zeros((2, 100)), r"\(samples, 2\).*turn it"),
        (np.zeros(100), r"shape \(100,\)"),
        (np.zeros((1, 100, 2)), "shape"),
        (np.array(0.5), "shape"),
        (np.zeros((100, 2), np.uint8), "uint8: give floats, int16 or int32"),
        (np.zeros((100, 2), complex), "complex128"),
        (np.full((100, 2), np.nan), "NaN or infinite samples at 0.50 s"),
        (np.full((100, 2), 1e300), "NaN or infinite samples at 0.50 s"),
        (np.array([["a", "b"]]), "U1"),
    ],
)
def test_a_block_that_is_refused_is_named_and_has_not_been_taken(merit, block, message):
    x = np.stack([wave(1.5, 1), wave(1.5, 2)], axis=1)
    live = MeritStream(merit, channels=2)
    chunks = live.push(x[:8000])
    with pytest.raises(StreamError, match=message):
        live.push(block)
    chunks += live.push(x[8000:]) + live.finish()
    assert same(chunks, streamed(merit, x, [len(x)], channels=2)[1])


def test_a_stream_that_is_finished_takes_no_more(merit):
    live = MeritStream(merit)
    live.push(wave(1)), live.finish()
    for attempt in (lambda: live.push(wave(1)), live.finish, lambda: live.push([])):
        with pytest.raises(StreamError, match="finished: open another"):
            attempt()


def test_a_stream_that_failed_takes_no_more(merit, monkeypatch):
    def fails(windows):
        raise FloatingPointError("no sound has these samples")

    live = MeritStream(merit)
    monkeypatch.setattr(merit, "hear", fails)
    with pytest.raises(StreamError, match="no sound has these samples: the stream cannot go on"):
        live.push(wave(1))
    monkeypatch.undo()
    with pytest.raises(StreamError, match="broken"):
        live.push(wave(1))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"latency": 0.2}, "latency is 0.2: give seconds, 0.25 to 10"),
        ({"latency": 10.5}, "0.25 to 10"),
        ({"latency": float("nan")}, "latency"),
        ({"latency": "fast"}, "latency is 'fast'"),
        ({"sample_rate": 0}, "sample_rate is 0"),
        ({"sample_rate": 44.1}, "sample_rate is 44.1"),
        ({"channels": 0}, "channels is 0"),
        ({"channels": 1.5}, "channels is 1.5"),
    ],
)
def test_what_no_stream_can_be_is_refused(merit, options, message):
    with pytest.raises(StreamError, match=message) as raised:
        MeritStream(merit, **options)
    assert isinstance(raised.value, MeritError)


@pytest.mark.parametrize("head", ["enhancement", "emotion"])
def test_a_model_without_one_of_the_heads_is_refused_by_its_name(tmp_path, head):
    merit = build(tmp_path / "model")
    setattr(merit.model, head, None)
    with pytest.raises(StreamError, match=f"no {head} head"):
        MeritStream(merit)


def test_longer_windows_than_ten_seconds_allow_a_longer_latency(tmp_path):
    merit = build(tmp_path / "model", window_seconds=20)
    assert MeritStream(merit, latency=20).plan.length == 20 * RATE
    with pytest.raises(StreamError, match="0.25 to 20"):
        MeritStream(merit, latency=21)


# Memory, and several streams


@pytest.mark.parametrize("rate, latency", [(RATE, 0.75), (48000, 4)])
def test_what_a_stream_keeps_does_not_grow(merit, monkeypatch, rate, latency):
    """All arrays and tensors that the stream can reach are counted, for half an hour."""

    def hear(windows):
        return [[hearing_of(window)] for window in windows]

    def hearing_of(window):
        count = len(stream.cells(window))
        heard = hearing.Heard(torch.from_numpy(window.wavs[0]).clone())
        heard.cells, heard.cell_speech = np.full((count, 4), 0.25), [True] * count
        return heard

    monkeypatch.setattr(merit, "hear", hear)
    live, block, kept = MeritStream(merit, rate, latency=latency), np.ones(rate), []
    for _ in range(36):
        for _ in range(50):
            live.push(block)
        kept.append(reachable(live))
    (objects, later_objects), (size, later_size) = (
        [max(values[:18]), max(values[18:])] for values in zip(*kept)
    )
    assert later_objects <= objects and later_size <= 1.01 * size, kept  # filters round


def reachable(thing):
    """Number of objects below a stream but for its model, and bytes of arrays and tensors."""
    seen, todo, total = set(), [v for k, v in vars(thing).items() if k != "merit"], 0
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, type):
            continue
        seen.add(id(one))
        while isinstance(one, np.ndarray) and one.base is not None:
            one = one.base
        if isinstance(one, np.ndarray):
            total += one.nbytes
        elif isinstance(one, torch.Tensor):
            total += one.untyped_storage().nbytes()
        elif not isinstance(one, (int, float, str, bytes)):
            todo += vars(one).values() if hasattr(one, "__dict__") else gc.get_referents(one)
    return len(seen), total


def test_streams_of_one_interface_are_strangers(merit):
    x, y = wave(2, 1), wave(2, 2)
    lives, chunks = [MeritStream(merit), MeritStream(merit)], [[], []]
    for at in range(0, len(x), 1000):
        for live, mine, samples in zip(lives, chunks, (x, y)):
            mine += live.push(samples[at : at + 1000])
    for live, mine, samples in zip(lives, chunks, (x, y)):
        assert same(mine + live.finish(), streamed(merit, samples, [1000])[1])


def test_windows_of_several_streams_can_be_heard_in_one_pass(merit):
    x, y = wave(2, 1), wave(2, 2)
    lives, chunks = [MeritStream(merit), MeritStream(merit)], [[], []]
    for last in (False, True):
        windows = [
            live.last_windows() if last else live.windows(samples)
            for live, samples in zip(lives, (x, y))
        ]
        for pair in zip(*windows):
            for live, mine, window, heard in zip(lives, chunks, pair, merit.hear(list(pair))):
                mine += live.take(window, heard)
    for mine, samples in zip(chunks, (x, y)):
        alone = streamed(merit, samples, [len(samples)])[1]
        torch.testing.assert_close(joined(mine), joined(alone), atol=1e-5, rtol=0)
        assert [c.emotion for c in mine] == [c.emotion for c in alone]

"""The two heads and the whole network: padding, input gain, and only what was asked for."""

import numpy as np
import pytest
import torch
from tiny import WIDTH, agree, pad, tiny_merit, with_garbage

from speechbrain_merit.lobes.emotion import AttentiveStatisticsPooling, EmotionHead
from speechbrain_merit.lobes.enhancement import BidirectionalLSTM, EnhancementHead, reverse
from speechbrain_merit.lobes.merit import Merit
from speechbrain_merit.lobes.spectrum import N_BINS, istft, stft

SAMPLES = (8000, 5317, 3201)  # of the utterances of a batch; hops do not divide the second


def waves(counts=SAMPLES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [0.1 * (i + 1) * torch.randn(n, generator=generator) for i, n in enumerate(counts)]


# Emotion head


@pytest.mark.parametrize("width", [64, 1024])
def test_attention_scores_start_near_one_whatever_the_width(width):
    torch.manual_seed(0)
    vector = AttentiveStatisticsPooling(width).attention.detach()
    assert float(vector.norm()) == pytest.approx(1, rel=0.3)  # of unit length


def pooled_by_numpy(pool, frames):
    """Attentive statistics of one utterance (T, D'), written down from the paper in float64."""
    frames = frames.double().numpy()
    matrix, bias, vector = (
        p.detach().double().numpy() for p in (*pool.sap_linear.parameters(), pool.attention)
    )
    scores = np.tanh(frames @ matrix.T + bias) @ vector
    weights = np.exp(scores) / np.exp(scores).sum()
    mean = (weights * frames).sum(axis=0)
    deviation = np.sqrt((weights * (frames - mean) ** 2).sum(axis=0))
    return torch.tensor(np.concatenate([mean, deviation])).float()


def test_pooling_is_the_mean_and_deviation_under_attention_of_true_frames():
    torch.manual_seed(0)
    pool, frames, counts = AttentiveStatisticsPooling(6), torch.randn(3, 20, 6), (20, 11, 2)
    frames = with_garbage(frames, counts)
    pooled = pool(frames, torch.tensor(counts) / 20)
    for row, count in enumerate(counts):
        agree(pooled[row], pooled_by_numpy(pool, frames[row, :count]), 1e-4)


def test_pooling_of_a_constant_feature_has_a_finite_gradient():
    frames = torch.ones(1, 10, 6, requires_grad=True)
    AttentiveStatisticsPooling(6)(frames).sum().backward()
    assert torch.isfinite(frames.grad).all()


def test_emotion_in_a_batch_is_emotion_alone():
    torch.manual_seed(0)
    head, frames, counts = EmotionHead(6, n_classes=4).eval(), torch.randn(3, 20, 6), (20, 11, 1)
    logits = head(with_garbage(frames, counts), torch.tensor(counts) / 20)
    for row, count in enumerate(counts):
        agree(logits[row], head(frames[row : row + 1, :count])[0])


# Short-time Fourier transform


@pytest.mark.parametrize("window", [torch.hamming_window(400), torch.hann_window(400)])
def test_there_and_back_gives_the_waves_of_unequal_lengths(window):
    singles = waves()
    batch, lengths = pad(singles)
    back = istft(stft(batch, lengths, window), batch, lengths, window)
    agree(back, batch)
    for row, wave in enumerate(singles):
        assert not back[row, len(wave) :].any()


def test_spectrum_in_a_batch_is_the_spectrum_alone():
    singles = waves()
    batch, lengths = pad(singles)
    window = torch.hamming_window(400)
    spectrum = stft(with_garbage(batch, SAMPLES), lengths, window).abs()
    for row, wave in enumerate(singles):
        alone = stft(wave[None], None, window).abs()[0]
        assert len(alone) == len(wave) // 160 + 1
        agree(spectrum[row, : len(alone)], alone)
        assert not spectrum[row, len(alone) :].any()


def test_less_than_a_window_is_an_error_that_says_what_to_do():
    with pytest.raises(ValueError, match="399 samples.*leave it out or pad it"):
        stft(torch.randn(1, 399), None, torch.hamming_window(400))


# Recurrent layers


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_bidirectional_lstm_is_torchs_over_packed_sequences(n_layers):
    torch.manual_seed(0)
    ours = BidirectionalLSTM(5, n_layers)
    theirs = torch.nn.LSTM(5, 5, n_layers, batch_first=True, bidirectional=True)
    copied = {}
    for layer, pair in enumerate(zip(ours.onward, ours.backward_)):
        for module, suffix in zip(pair, ("", "_reverse")):
            for name, value in module.state_dict().items():
                copied[name.replace("l0", f"l{layer}") + suffix] = value
    theirs.load_state_dict(copied)
    frames, counts = torch.randn(3, 12, 5), torch.tensor([12, 7, 1])
    packed = torch.nn.utils.rnn.pack_padded_sequence(frames, counts, batch_first=True)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    expected = expected[..., :5] + expected[..., 5:]  # the two directions are summed
    output = ours(with_garbage(frames, counts), counts)
    for row, count in enumerate(counts):
        agree(output[row, :count], expected[row, :count])


def test_reversing_twice_is_nothing_and_leaves_padding_in_place():
    frames, counts = torch.randn(3, 6, 2), torch.tensor([6, 4, 1])
    once = reverse(frames, counts)
    assert torch.equal(once[1, :4], frames[1, :4].flip(0))
    assert torch.equal(once[1, 4:], frames[1, 4:])
    assert torch.equal(reverse(once, counts), frames)


# Enhancement head


def heard_frames(head):
    """The encoder frames that reach the head's first layer, as a list that fills on each call."""
    heard = []
    head.enter.register_forward_pre_hook(lambda _, given: heard.append(given[0][..., N_BINS:]))
    return heard


@pytest.mark.parametrize("n_frames", [5, 4])
def test_encoder_frames_are_repeated_twice_and_the_last_one_to_the_end(n_frames):
    head = EnhancementHead(3, hidden=8)
    heard = heard_frames(head)
    frames = torch.randn(1, n_frames, 3)
    head(torch.randn(1, 1600), None, frames)
    index = [min(n // 2, n_frames - 1) for n in range(11)]
    assert torch.equal(heard[0][0], frames[0, index])


def test_the_last_frame_is_the_utterances_own_in_a_batch():
    head = EnhancementHead(3, hidden=8)
    heard = heard_frames(head)
    frames = torch.randn(2, 5, 3)
    head(torch.randn(2, 1600), torch.tensor([1.0, 0.6]), frames, torch.tensor([1.0, 3 / 5]))
    assert torch.equal(heard[0][1, :7], frames[1, [0, 0, 1, 1, 2, 2, 2]])


def test_the_mask_lies_between_zero_and_one_and_is_the_same_in_a_batch():
    torch.manual_seed(0)
    head = EnhancementHead(3, hidden=8)
    for weight in head.parameters():
        weight.data.mul_(3)
    singles = waves()
    batch, lengths = pad(singles)
    noisy, _ = head.analyse(batch, lengths)
    frames, frame_counts = torch.randn(3, 25, 3), (25, 16, 10)
    spectral = torch.tensor([n // 160 + 1 for n in SAMPLES]) / 51
    frames = with_garbage(frames, frame_counts)
    mask = head.mask(noisy, frames, spectral, torch.tensor(frame_counts) / 25)
    assert mask.min() >= 0 and mask.max() <= 1
    for row, wave in enumerate(singles):
        alone = head.mask(head.analyse(wave[None])[0], frames[row : row + 1, : frame_counts[row]])[
            0
        ]
        agree(mask[row, : len(alone)], alone)


# The whole network


@pytest.fixture(params=[0, 1, 2])
def merit(request):
    torch.manual_seed(request.param)
    return tiny_merit()


def test_a_mask_of_ones_returns_the_input():
    merit = tiny_merit()
    merit.enhancement.leave.weight.data.zero_()
    merit.enhancement.leave.bias.data.fill_(100.0)  # a sigmoid of 1
    batch, lengths = pad(waves())
    agree(merit(batch, lengths).waves, batch, 1e-4)


def test_an_utterance_in_a_batch_gives_what_it_gives_alone(merit):
    singles = waves()
    batch, lengths = pad(singles)
    with torch.no_grad():
        together = merit(with_garbage(batch, SAMPLES), lengths)
        for row, wave in enumerate(singles):
            alone = merit(wave[None])
            n_spectral, n_frames = alone.enhanced.estimate.shape[1], alone.frames.shape[1]
            agree(together.enhanced.estimate[row, :n_spectral], alone.enhanced.estimate[0])
            agree(together.logits[row], alone.logits[0])
            agree(together.waves[row, : len(wave)], alone.waves[0])
            assert not together.waves[row, len(wave) :].any()
            assert together.frames[row].sum() == n_frames
            assert round(float(together.enhanced.lengths[row]) * 51) == n_spectral


@pytest.mark.parametrize("decibels", [-20, 20])
def test_input_gain_changes_neither_emotion_nor_relative_output(merit, decibels):
    gain = 10 ** (decibels / 20)
    batch, lengths = pad(waves())
    with torch.no_grad():
        before, after = merit(batch, lengths), merit(gain * batch, lengths)
        agree(after.logits.softmax(dim=-1), before.logits.softmax(dim=-1), 1e-4)
        agree(after.waves / gain, before.waves, 1e-4)


HEADS = {"se": "enhancement", "ser": "emotion"}


@pytest.mark.parametrize("task, other", [("se", "ser"), ("ser", "se")])
def test_a_task_alone_runs_nothing_of_the_other(merit, task, other):
    # the two tasks are sent to experts of their own
    for index, name in enumerate(("se", "ser")):
        merit.integration.routers[name].fc.bias.data[index] = 100.0
    expert = dict(zip(("se", "ser"), merit.integration.pool.experts))
    ran = []
    for name in (task, other):
        for module in (getattr(merit, HEADS[name]), expert[name]):
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
    batch, lengths = pad(waves())
    both = merit(batch, lengths)
    assert ran.count(other) == 2
    ran.clear()
    alone = merit(batch, lengths, tasks=(task,))
    assert ran == [task] * 2 and alone.routing.keys() == {task}
    absent, present = ("logits", "waves") if task == "se" else ("waves", "logits")
    assert getattr(alone, absent) is None
    agree(getattr(alone, present), getattr(both, present))


def test_a_system_without_a_head_has_that_task_not(merit):
    single = Merit(merit.encoder, merit.integration, None, merit.emotion).eval()
    assert (merit.tasks, single.tasks) == (("se", "ser"), ("ser",))
    batch, lengths = pad(waves())
    output = single(batch, lengths)
    assert output.waves is None and output.routing.keys() == {"ser"}
    agree(output.logits, merit(batch, lengths).logits)


def test_silence_gives_silence_and_finite_numbers(merit):
    batch = torch.stack([torch.zeros(4800), waves((4800,))[0]])
    output = merit(batch)
    enhanced = output.waves
    assert torch.isfinite(output.logits).all() and torch.isfinite(enhanced).all()
    assert not enhanced[0].any() and enhanced[1].any()
    (output.logits.sum() + output.enhanced.estimate.sum()).backward()
    assert all(torch.isfinite(p.grad).all() for p in merit.parameters() if p.grad is not None)


def test_the_emotion_head_may_have_a_width_of_its_own():
    assert EmotionHead(WIDTH, 4, hidden=7).out.in_features == 7
    assert EmotionHead(WIDTH, 4).out.in_features == WIDTH

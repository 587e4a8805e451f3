"""The training log: what is written comes back, and TensorBoard is a choice."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from speechbrain_merit.evaluation.report.curves import read_curves
from speechbrain_merit.training.loggers import build_loggers


def log(folder, choice, epochs):
    loggers = build_loggers(choice, folder / "train_log.txt", folder)
    for epoch, loss in epochs:
        for logger in loggers:
            logger.log_stats({"epoch": epoch}, {"loss": loss}, {"si_sdr": -loss})
    for logger in loggers:
        if hasattr(logger, "writer"):  # a thread of TensorBoard's writes, some time later
            logger.writer.flush()


def test_curves_come_back_and_the_last_line_of_an_epoch_counts(tmp_path):
    log(tmp_path, "file", [(1, 2.0), (2, 1.5), (2, 0.25)])
    assert [(c["epoch"], c["train loss"]) for c in read_curves(tmp_path / "train_log.txt")] == [
        (1, 2.0),
        (2, 0.25),
    ]


def test_what_is_not_finite_is_absent(tmp_path):
    log(tmp_path, "file", [(1, float("nan"))])
    assert read_curves(tmp_path / "train_log.txt")[0]["train loss"] is None


def test_no_log_gives_no_curves(tmp_path):
    assert read_curves(tmp_path / "train_log.txt") == []


def test_tensorboard_holds_the_same_and_the_file_is_written_too(tmp_path):
    log(tmp_path, "tensorboard", [(1, 2.0), (2, 0.5)])
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    scalars = {
        tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }
    assert [2.0, 0.5] in scalars.values() and [-2.0, -0.5] in scalars.values()
    assert len(read_curves(tmp_path / "train_log.txt")) == 2


def test_another_choice_is_an_error():
    with pytest.raises(ValueError, match="train_logger is 'paper'"):
        build_loggers("paper", "log.txt", ".")

"""One thread that hears the windows of all requests, those of several in one pass.

Requests take turns: a pass hears the next window of each, up to ``batch_size`` of them, so that a
short recording does not wait for a long one that came before. A request that fails, or whose client
has gone, takes no other with it.
"""

import functools
import math
import threading
from concurrent.futures import Future

from speechbrain.utils.logger import get_logger

from speechbrain_merit.audio.windows import cut
from speechbrain_merit.errors import AudioError
from speechbrain_merit.inference.analysis import Assembler

logger = get_logger(__name__)

#: In one pass, a window is at most this many times as long as another: padding is computed too.
LONGER = 1.5


class Task:
    """A recording on its way: a job, its windows to come, and a promise of its end.

    Arguments
    ---------
    job : Job
        From :mod:`speechbrain_merit.inference.jobs`.
    windows : iterator of Window
        Of this job, which is done with the last one.

    Attributes
    ----------
    done : concurrent.futures.Future
        The job, or why it failed. ``cancel()`` tells that nobody waits any more.
    """

    def __init__(self, job, windows):
        self.job, self.windows, self.done = job, windows, Future()


class Worker:
    """The thread.

    Arguments
    ---------
    merit : MeritInterface
        The model.
    batch_size : int
        Windows that are heard in one pass.

    Example
    -------
    >>> import torch
    >>> from speechbrain_merit.inference import MeritInterface
    >>> from speechbrain_merit.inference.jobs import Job
    >>> worker = Worker(MeritInterface.shipped(run_opts={"device": "cpu"}))
    >>> worker.take(worker.opened(Job(torch.zeros(1, 8000)))).result().analyses()[0].emotion
    'no_speech'
    >>> worker.stop()
    """

    def __init__(self, merit, batch_size=8):
        self.merit, self.batch_size = merit, batch_size
        self.assembler = functools.partial(
            Assembler,
            labels=merit.hparams.labels,
            attributes=getattr(merit.hparams, "attributes", None) or (),
        )
        self.tasks, self.changed, self.stopping = [], threading.Condition(), False
        self.passes = self.windows = 0  # so far
        self.thread = threading.Thread(target=self.work, name="merit", daemon=True)
        self.thread.start()

    def opened(self, job):
        """A task of a job whose recording has been looked through and whose first window is there.

        Here, in the thread of the caller, and not in the one that all wait for: to look through a
        recording is to decode it. Raises what is wrong with it.
        """
        windows = cut(job.blocks(self.assembler), self.merit.window_seconds)
        return Task(job, following(next(windows), windows))

    def take(self, task, first=False):
        """Queues a task, before all others if ``first``; returns the promise of its end."""
        with self.changed:
            self.tasks.insert(0 if first else len(self.tasks), task)
            self.changed.notify()
        return task.done

    def stop(self):
        """Ends the thread when all that was queued is done."""
        with self.changed:
            self.stopping = True
            self.changed.notify()
        self.thread.join()

    def work(self):
        """Hears, pass after pass."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.tasks or self.stopping)
                if not self.tasks:
                    return
                turn, self.tasks = self.tasks[: self.batch_size], self.tasks[self.batch_size :]
            ready = [(task, window) for task in turn if (window := self.next(task)) is not None]
            for group in alike(ready, self.batch_size):
                self.hear(group)
            with self.changed:
                self.tasks += [task for task in turn if not task.job.done]

    def next(self, task):
        """The next window of a task, or None where it is over."""
        try:
            if task.done.cancelled():
                raise AudioError("nobody waits for it any more")
            return next(task.windows)
        except Exception as error:  # whatever it is, the others go on
            self.fail(task, error)

    def hear(self, group):
        """Hears some windows in one pass; where that fails, each by itself."""
        try:
            heard = self.merit.hear([window for _, window in group])
        except Exception as error:
            if len(group) == 1:
                self.fail(group[0][0], error)
            else:
                for one in group:
                    self.hear([one])
            return
        self.passes, self.windows = self.passes + 1, self.windows + len(group)
        for (task, window), result in zip(group, heard):
            try:
                task.job.take(window, result)
                if task.job.done and task.done.set_running_or_notify_cancel():
                    task.done.set_result(task.job)
            except Exception as error:
                self.fail(task, error)

    def fail(self, task, error):
        """Gives up a task."""
        if isinstance(error, FloatingPointError):  # of the network, on samples that no sound has
            error = AudioError(f"{getattr(task.job, 'path', 'wave')}: {error}")
        if not isinstance(error, (AudioError, OSError)):
            logger.exception("A request failed:", exc_info=error)
        task.job.fail(error)
        if not task.done.done() and task.done.set_running_or_notify_cancel():
            task.done.set_exception(error)


def following(first, rest):
    """A value and those that follow it.

    Example
    -------
    >>> list(following(1, iter([2, 3])))
    [1, 2, 3]
    """
    yield first
    yield from rest


def alike(ready, most=math.inf):
    """(task, window) in groups of windows about as long as each other.

    A group has ``most`` channels at most, and one of more is a group by itself.

    Example
    -------
    >>> import numpy as np
    >>> from speechbrain_merit.audio.windows import Window
    >>> ready = [(i, Window(0, np.zeros((1, n)), 0, n, True)) for i, n in enumerate((9, 2, 10, 3))]
    >>> [[task for task, _ in group] for group in alike(ready)]
    [[1, 3], [0, 2]]
    """
    groups = []
    for one in sorted(ready, key=lambda pair: pair[1].wavs.shape[1]):
        length = one[1].wavs.shape[1]
        group = groups[-1] if groups else []
        channels = sum(len(window.wavs) for _, window in [*group, one])
        if group and length <= LONGER * group[0][1].wavs.shape[1] and channels <= most:
            group.append(one)
        else:
            groups.append([one])
    return groups

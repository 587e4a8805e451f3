"""Recordings shared among processes: the same results, in the same order, sooner."""

import os
import signal
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process

import torch

from speechbrain_merit.errors import SettingsError

AHEAD = 32  # recordings that wait for each process: enough while the first of them takes long


class Stopped(Exception):
    """The process that shares the work out was interrupted."""


class Worker:
    """What each process has: its own of what ``make`` gives, its share of threads, and an ear.

    Arguments
    ---------
    make : callable
        Called once in each process.
    arguments : tuple
        Of ``make``.
    threads : int
        That it may compute with.
    stop : multiprocessing.Event
        Set when the work is to be dropped.
    """

    own = None  # of this process

    def __init__(self, make, arguments, threads, stop):
        self.stop = stop
        torch.set_num_threads(threads)
        self.tool = make(*arguments)

    def go_on(self, *_):
        """Raises Stopped once the work is to be dropped; to be called now and then."""
        if self.stop.is_set():
            raise Stopped

    @classmethod
    def start(cls, *arguments):
        """Makes the worker of this process."""
        # Ctrl-C reaches all processes of a terminal: the parent alone answers it, and says stop
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=end_with_the_parent, daemon=True).start()
        cls.own = cls(*arguments)

    @classmethod
    def work(cls, function, item):
        """What ``function`` makes of an item; it is given the process's own tool as well."""
        cls.own.go_on()
        return function(cls.own.tool, item, cls.own.go_on)


def end_with_the_parent():
    """Ends this process when its parent is gone, however that ended."""
    parent_process().join()
    os._exit(1)


def shared(items, function, make, arguments, jobs):
    """Shares items among processes, which are spawned: they work with GPUs too.

    Arguments
    ---------
    items : iterable
        Taken as they are needed.
    function : callable
        ``function(tool, item, go_on)``, to be found by its name in a module; it calls ``go_on()``
        now and then, which raises :class:`Stopped` after an interrupt.
    make : callable
        ``make(*arguments)`` gives each process its tool.
    arguments : tuple
        Of ``make``.
    jobs : int
        Number of processes.

    Yields
    ------
    object
        What the function gave, in the order of the items.

    Raises
    ------
    SettingsError
        A process ended without a word.

    """
    context = get_context("spawn")
    stop = context.Event()
    threads = max(1, torch.get_num_threads() // jobs)
    given = make, arguments, threads, stop
    pool = ProcessPoolExecutor(jobs, context, Worker.start, given)
    waiting, items = deque(), iter(items)
    try:
        with deaf():  # these start the processes
            fill(waiting, items, pool, function, jobs)
        while waiting:
            fill(waiting, items, pool, function, AHEAD * jobs)
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise SettingsError(
            "A process ended without a word, perhaps for want of memory: give fewer --jobs."
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def fill(waiting, items, pool, function, count):
    """Hands out items until so many wait for their turn, or none is left."""
    while len(waiting) < count:
        try:
            waiting.append(pool.submit(Worker.work, function, next(items)))
        except StopIteration:
            return


@contextmanager
def deaf():
    """Ignores Ctrl-C, and so does what is started meanwhile, until it knows what to do."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

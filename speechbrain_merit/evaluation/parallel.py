"""An ordered map over processes that draws its items only as results come."""

import multiprocessing
import os
import signal
import sys
import threading
import types
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from tqdm import tqdm

PENDING_PER_JOB = 2  # items in flight a worker: one being worked on and one waiting


def processes(n_jobs):
    """How many worker processes a number of jobs stands for.

    Arguments
    ---------
    n_jobs : int
        That many; −1 for every core that this process may use, which in a container or under a
        batch system can be fewer than the machine has.

    Returns
    -------
    int
        0 or more.

    Raises
    ------
    ValueError
        Any other negative number.

    Example
    -------
    >>> processes(3), processes(-1) >= 1
    (3, True)
    """
    if n_jobs < -1:
        raise ValueError(f"n_jobs is {n_jobs}: give a number of processes, 0 for none, −1 for all.")
    if n_jobs >= 0:
        return n_jobs
    from joblib import cpu_count  # heeds affinity and the quotas of containers; workers need it not

    return cpu_count()


def ordered_map(function, items, n_jobs, title=None, total=None):
    """Apply a function to every item, over processes, and yield the results in order.

    Workers are fresh processes (spawn): a fork of a process in which torch runs threads may hang.

    Arguments
    ---------
    function : callable
        Function of a module (workers import it), of one item.
    items : iterable
        Drawn from in the thread of the caller, at most two items a worker ahead of the results.
    n_jobs : int
        Number of worker processes; 0 or 1 works in this process, −1 takes all cores it may use.
    title : str or None
        Text of the progress bar; None for no bar.
    total : int or None
        Number of items, for the progress bar, where `items` has no length.

    Returns
    -------
    iterator
        One result an item, in order. None is kept here, so that memory stays flat.

    Raises
    ------
    ValueError
        If `n_jobs` is below −1.
    RuntimeError
        If a worker process dies.

    Example
    -------
    >>> list(ordered_map(abs, iter([-1, 2, -3]), n_jobs=0))
    [1, 2, 3]
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items)
    results = _results(function, items, processes(n_jobs))
    return iter(tqdm(results, total=total, desc=title, disable=title is None, dynamic_ncols=True))


def _results(function, items, n_jobs):
    """Yield the results in order."""
    if n_jobs <= 1:
        yield from map(function, items)
        return
    executor = ProcessPoolExecutor(
        n_jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
    )
    pending = deque()
    try:
        for item in items:
            if len(pending) == PENDING_PER_JOB * n_jobs:
                yield pending.popleft().result()
            with _light_start():
                pending.append(executor.submit(function, item))
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            "A worker process died, most likely for want of memory or by a crash in a library: "
            "run with n_jobs=0 to see where."
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def _light_start():
    """Hide the main script from the processes that start meanwhile.

    A spawned process imports the parent's main script again, with torch and all else in it, and
    runs it where it has no `__name__` guard. Our workers need one module only.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _start_worker():
    """Set up a worker process: one thread, no traceback on Ctrl-C, an end with its parent."""
    from threadpoolctl import threadpool_limits  # a dependency of scikit-learn

    threadpool_limits(1)  # the processes fill the cores; threads of their BLAS would fight for them
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too and ends us in order
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent():
    """Leave when the parent is gone, also when it was killed and could not say so."""
    multiprocessing.parent_process().join()
    os._exit(1)

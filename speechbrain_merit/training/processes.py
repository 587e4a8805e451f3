"""A run of several processes (``torchrun``): its start, sums, shares, and one voice for errors.

Each process hears its share of a joint batch. A term of the loss is computed of the joint batch,
by sums over processes (:func:`total`), so that every process holds the same loss, and the mean of
their gradients, which DistributedDataParallel takes, is the gradient of the joint batch.
"""

import contextlib
import dataclasses
import datetime
import itertools
import os

import torch
from speechbrain.utils.distributed import ddp_init_group, is_distributed_initialized
from torch import distributed
from torch.distributed.nn.functional import all_reduce

from speechbrain_merit.errors import SettingsError

STORE_TIMEOUT = datetime.timedelta(seconds=5)  # the launcher's store is there already, or never


def rank():
    """The number of this process in the run, 0 of the first."""
    return distributed.get_rank() if is_distributed_initialized() else 0


def count():
    """The number of processes of the run."""
    return distributed.get_world_size() if is_distributed_initialized() else 1


def start(run_opts):
    """Joins the processes that ``torchrun`` has started; alone, does nothing.

    Arguments
    ---------
    run_opts : speechbrain.utils.run_opts.RunOptions
        Of the command line.

    Returns
    -------
    speechbrain.utils.run_opts.RunOptions
        The same; without a GPU the processes talk by gloo.

    Raises
    ------
    SettingsError
        A machine runs more processes than it has GPUs.
    """
    if "LOCAL_RANK" not in os.environ:
        return run_opts
    gpus = 0 if run_opts.device == "cpu" else torch.cuda.device_count()
    if gpus == 0 and "distributed_backend" not in run_opts.overridden_args:
        given = run_opts.overridden_args | {"distributed_backend"}
        run_opts = dataclasses.replace(run_opts, distributed_backend="gloo", overridden_args=given)
    wanted = int(os.environ["LOCAL_RANK"]) + 1
    if run_opts.distributed_backend == "nccl" and wanted > gpus:
        fewer = f"torchrun --nproc_per_node={gpus}, or " if gpus else ""
        raise SettingsError(
            f"This machine has {gpus} GPUs to use, and process {wanted} needs one too: give "
            f"{fewer}train.py --distributed_backend gloo."
        )
    ddp_init_group(run_opts)
    return run_opts


def total(values):
    """The sum of a tensor over all processes, the same in each; its gradient passes to each.

    In one process the tensor itself. All processes must call it, in the same order.

    Example
    -------
    >>> total(torch.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    # backward sums over processes; DistributedDataParallel then divides by their number
    return all_reduce(values) if count() > 1 else values


def shard(batches, rank, world):
    """The batches of process ``rank`` of ``world``: every world-th, whole.

    Example
    -------
    >>> shard([[0, 1], [2, 3], [4]], rank=0, world=2)
    [[0, 1], [4]]
    """
    return batches[rank::world]


def unshard(shares):
    """What :func:`shard` took apart, in order again, of a list a process.

    Example
    -------
    >>> unshard([["a", "c"], ["b"]])
    ['a', 'b', 'c']
    """
    missing = object()
    rows = itertools.zip_longest(*shares, fillvalue=missing)
    return [item for row in rows for item in row if item is not missing]


def gather(value):
    """A list of what every process gives, in every process."""
    if count() == 1:
        return [value]
    values = [None] * count()
    distributed.all_gather_object(values, value)
    return values


@contextlib.contextmanager
def one_voice():
    """Lets the first process that fails say why; the others, which fail of it, end silently.

    A process that ends ends the run: ``torchrun`` stops the others.
    """
    try:
        yield
    except Exception as error:
        if is_first_to_speak():
            raise
        raise SystemExit(1) from error


def is_first_to_speak():
    """Whether no other process of the run has asked this before."""
    names = ("MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK")
    if any(name not in os.environ for name in names):
        return True
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    try:
        store = distributed.TCPStore(host, port, is_master=False, timeout=STORE_TIMEOUT)
        return store.add(f"speechbrain_merit/failed/{attempt}", 1) == 1
    except (OSError, RuntimeError):  # the store went with the process that kept it
        return True

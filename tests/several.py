"""Several processes for a test: forked from a server that has imported already, joined by gloo."""

import multiprocessing
import os
import pickle
import signal
import socket
import traceback

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["speechbrain_merit.training.run", "tiny"])
SECONDS = 300  # after which a test has hung


def processes(world, function, *arguments):
    """What ``function(*arguments)`` gives in each of ``world`` processes that are joined, in order.

    One process is started as ``python`` would, without the launcher's variables.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    results = CONTEXT.Queue()
    members = [
        CONTEXT.Process(target=member, args=(results, rank, world, port, function, arguments))
        for rank in range(world)
    ]
    for process in members:
        process.start()
    try:
        given = dict(results.get(timeout=SECONDS) for _ in members)
    finally:
        for process in members:
            process.kill()
            process.join()
    failed = [text for ok, text in given.values() if not ok]
    assert not failed, "\n".join(failed)
    return [pickle.loads(given[rank][1]) for rank in range(world)]


def killed(function, *arguments):
    """Whether a process that runs ``function(*arguments)`` was ended by SIGKILL."""
    process = CONTEXT.Process(target=function, args=arguments)
    process.start()
    process.join(SECONDS)
    hangs = process.is_alive()
    process.kill()
    process.join()
    assert not hangs, f"{function.__name__}{arguments} hangs"
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode == -signal.SIGKILL


def member(results, rank, world, port, function, arguments):
    """The life of one process."""
    import torch
    from speechbrain.utils.run_opts import RunOptions

    from speechbrain_merit.training import processes as run

    torch.set_num_threads(1)
    try:
        if world > 1:
            names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_PORT": port}
            os.environ.update({name: str(value) for name, value in names.items()})
            os.environ["MASTER_ADDR"] = "127.0.0.1"
            run.start(RunOptions.from_dictionary({"device": "cpu"}))
        # pickled here: a queue of torch shares memory with a process that will be gone
        results.put((rank, (True, pickle.dumps(function(*arguments)))))
    except BaseException:
        results.put((rank, (False, traceback.format_exc())))
    results.close()
    results.join_thread()

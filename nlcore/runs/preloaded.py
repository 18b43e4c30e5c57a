"""What the server of worker processes does once, before it forks the first: to import this module is to do it.

It loads the modules named in an environment variable. Nothing of them computes, draws a random number or begins a
thread when it is loaded: a fork is like a fresh process that has imported the same. The text of this package is read at
the same time, so that a worker names what it computes by the code that it has, however long it lives and whatever is
edited meanwhile. A server whose driver has ended does not go on, and removes its socket's folder in the end.
"""

import atexit
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from importlib import import_module
from multiprocessing import forkserver

from nlcore.runs.processes import PRELOADED
from nlcore.runs.source import installed_module

PATIENCE = 100  # hundredths of a second

def load(names: list[str], driver: int) -> None:
    """Import modules for a driver; one that cannot be, for whatever reason, fails in a worker that needs it."""
    for name in names:
        if os.getppid() != driver:
            os._exit(0)
        with suppress(Exception):
            import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] == __package__.partition(".")[0]]:
        with suppress(Exception):
            installed_module(name)


def clear_away(server: int, driver: int) -> None:
    """Remove the folder of the socket, which a driver that was killed cannot: one that has not been clears it itself.

    Forks of the server have this for an exit handler, too, and some of them, such as kernels, call these.
    """
    if os.getpid() != server:
        return
    for _ in range(PATIENCE):
        if os.getppid() != driver:
            break
        time.sleep(0.01)  # its files are closed, which ends the server, a moment before it has ended
    else:
        return
    address = getattr(forkserver._forkserver, "_forkserver_address", None)
    if isinstance(address, str) and os.path.basename(os.path.dirname(address)).startswith("pymp-"):
        shutil.rmtree(os.path.dirname(address), ignore_errors=True)


if PRELOADED in os.environ:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's business, also while this loads
    DRIVER = os.getppid()
    load(os.environ[PRELOADED].split(), DRIVER)
    atexit.register(clear_away, os.getpid(), DRIVER)

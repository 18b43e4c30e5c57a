"""`ray symmetric-run` as two nodes of this machine, and no node of anybody else's: `ray stop` would end those too.

Called as the program is: --address HOST:PORT --min-nodes N [options of ray start] -- COMMAND.
"""

import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import ray
from ray.scripts.symmetric_run import (
    CLUSTER_WAIT_TIMEOUT,
    check_head_node_ready,
    curate_and_validate_ray_start_args,
    symmetric_run,
)


@contextmanager
def node(*options):
    """A node for a `with` block; it ends its own processes when it is told to."""
    program = Path(sys.executable).with_name("ray")
    started = subprocess.Popen([program, "start", *options, "--block"], stdout=sys.stderr)
    try:
        yield
    finally:
        started.terminate()
        started.wait(60)


def main(arguments):
    """The exit code of the command, once both nodes have been there."""
    separator = arguments.index("--")
    own, command = arguments[:separator], arguments[separator + 1 :]
    options = curate_and_validate_ray_start_args(list(own))  # it empties what it is given
    settings = symmetric_run.make_context("symmetric-run", list(own)).params
    host, port = settings["address"].split(":")
    with ExitStack() as nodes:
        nodes.enter_context(node("--head", f"--node-ip-address={host}", f"--port={port}", *options))
        assert check_head_node_ready(settings["address"])
        nodes.enter_context(node(f"--address={settings['address']}", *options))
        deadline = time.monotonic() + CLUSTER_WAIT_TIMEOUT
        while alive(settings["address"]) < settings["min_nodes"]:
            assert time.monotonic() < deadline, "a node did not come"
            time.sleep(1)
        return subprocess.run(command).returncode


def alive(address):
    """How many nodes the cluster has."""
    try:
        ray.init(address, log_to_driver=False, logging_level="error")
        return sum(found["Alive"] for found in ray.nodes())
    except Exception:  # it is not there yet
        return 0
    finally:
        ray.shutdown()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

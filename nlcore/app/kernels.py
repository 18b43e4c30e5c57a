"""Kernels of notebooks that are forked from the server of processes, which has loaded what notebooks import."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

from nlcore.runs.processes import as_in_driver, leave_with_parent, settle_in, worker_context

MODULE = ("-m", "ipykernel_launcher")  # what Python kernels are begun with


class ForkedKernelManager(AsyncKernelManager):
    """Begins a Python kernel of this Python as a fork; any other one, and where forks are not safe, as it comes."""

    async def _async_pre_start_kernel(self, **options: Any) -> tuple[list[str], dict[str, Any]]:
        if self.provisioner is None:
            spec = self.kernel_spec
            self.provisioner = Forking(kernel_id=self.kernel_id or "", kernel_spec=spec, parent=self)
        return await super()._async_pre_start_kernel(**options)


class Forking(LocalProvisioner):
    """Kernels as `LocalProvisioner` has them, but for how their processes begin."""

    async def launch_kernel(self, cmd: Sequence[str], **options: Any) -> KernelConnectionInfo:
        """Begin the process of a kernel; where it cannot be a fork, as Jupyter does."""
        context = worker_context()
        if context.get_start_method() != "forkserver" or tuple(cmd[1:3]) != MODULE or cmd[0] != sys.executable:
            return await super().launch_kernel(list(cmd), **options)
        self.process = ForkedProcess(context, cmd[3:], options.get("cwd") or os.getcwd(), options["env"])
        self.pid = self.pgid = self.process.pid  # it leads a group of its own
        return self.connection_info


class ForkedProcess:
    """A forked kernel, with the part of `subprocess.Popen` that Jupyter uses."""

    stdin = stdout = stderr = None

    def __init__(self, context: BaseContext, arguments: Sequence[str], cwd: str, variables: Mapping[str, str]) -> None:
        told = (list(arguments), cwd, dict(variables), as_in_driver()[1])
        self.process: BaseProcess = context.Process(target=_kernel, args=told)
        self.process.start()
        self.pid = self.process.pid

    def poll(self) -> int | None:
        """Its exit code, once it has ended."""
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for its end; its exit code."""
        self.process.join(timeout)
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def _kernel(arguments: list[str], cwd: str, variables: Mapping[str, str], authkey: bytes | None) -> None:
    """The kernel's process, which ends with the one that executes the notebook."""
    os.setsid()
    os.chdir(cwd)
    settle_in(variables, authkey)
    leave_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from ipykernel.kernelapp import IPKernelApp

    # It was loaded without a variable of Jupyter's that says whom to leave with, and Matplotlib without a kernel.
    options = [f"--IPKernelApp.parent_handle={os.getppid()}"]
    if "matplotlib" in sys.modules and not os.environ.get("MPLBACKEND"):
        options.append("--InteractiveShellApp.matplotlib=inline")
    IPKernelApp.launch_instance(argv=[*arguments, *options])

"""The Slurm scripts of docs/labs.md: what they ask for, and all of Ray's executed, with two nodes of this machine."""

import argparse
import getpass
import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PORT = 20000  # the first of those that the script takes, by the job's number; Ray's workers have those below
SMALLER = "--profile smoke --papers cleanlab_ema --runs-only"  # notebooks are executed on one machine, as without Ray
SRUN = """#!/bin/bash
shift 2
exec "{python}" "{root}/tests/runs/one_machine.py" "$@"
"""


def script(on_ray=True):
    """The one for many machines, or the one for one."""
    blocks = re.findall(r"```\n(.*?)```", (ROOT / "docs" / "labs.md").read_text(), re.DOTALL)
    (found,) = [block for block in blocks if "#SBATCH" in block and ("ray" in block) == on_ray]
    return found


@pytest.mark.parametrize("on_ray", [True, False])
def test_it_is_a_script_that_bash_reads_and_waits_for_no_time_to_pass(on_ray):
    assert script(on_ray).startswith("#!/bin/bash\n")
    subprocess.run(["bash", "-n"], input=script(on_ray), text=True, check=True)
    assert "sleep" not in script(on_ray)


def test_it_asks_slurm_for_one_process_on_each_machine():
    lines = re.findall(r"^#SBATCH (.*)$", script(), re.MULTILINE)
    options = argparse.ArgumentParser(exit_on_error=False)
    for name in ("nodes", "ntasks-per-node", "gpus-per-node", "cpus-per-task"):
        options.add_argument(f"--{name}", type=int, required=True)
    options.add_argument("--time", required=True)
    asked = options.parse_args(shlex.split(" ".join(lines)))
    assert asked.nodes > 1 and asked.ntasks_per_node == 1
    assert re.fullmatch(r"\d+:\d\d:\d\d", asked.time)


# A controller with machines that are not there; those of a cloud need not be until a job begins.
CONTROLLER = """
ClusterName=dry
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}
SlurmctldPidFile={folder}/controller.pid
SelectType=select/cons_tres
GresTypes=gpu
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SuspendProgram=/bin/true
ResumeProgram=/bin/true
SuspendTime=60
NodeName=n[1-4] CPUs=32 RealMemory=64000 Gres=gpu:4 State=CLOUD
PartitionName=all Nodes=n[1-4] Default=YES State=UP
"""


@pytest.fixture
def dry_run(tmp_path):
    """What Slurm says of a script that is submitted for a dry run: its exit code and its line."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"host": socket.gethostname(), "port": port, "user": getpass.getuser(), "folder": tmp_path}
    (tmp_path / "slurm.conf").write_text(CONTROLLER.format(**own))
    told = {"env": os.environ | {"SLURM_CONF": str(tmp_path / "slurm.conf")}, "text": True, "capture_output": True}
    controller = subprocess.Popen(["slurmctld", "-D", "-c"], env=told["env"], stdout=-3, stderr=-3)

    def submit(text):
        (tmp_path / "job.sh").write_text(text)
        found = subprocess.run(["sbatch", "--test-only", str(tmp_path / "job.sh")], **told)
        return found.returncode, found.stderr

    try:
        subprocess.run(["timeout", "60", "bash", "-c", "until scontrol ping | grep -q UP; do sleep 0.2; done"], **told)
        yield submit
    finally:
        controller.terminate()
        controller.wait(60)


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("slurmctld") and shutil.which("sbatch")), reason="Slurm is not here")
def test_slurm_takes_it_in_a_dry_run_and_refuses_what_no_machine_has(dry_run):
    code, said = dry_run(script())
    assert code == 0 and "using 128 processors on nodes n[1-4]" in said, said
    code, said = dry_run(script(on_ray=False))
    assert code == 0 and re.search(r"using 32 processors on nodes n[1-4]\b", said), said
    for on_ray in (True, False):
        code, said = dry_run(script(on_ray).replace("--gpus-per-node=4", "--gpus-per-node=5"))
        assert code != 0 and "Requested node configuration is not available" in said, said


def executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def own_address():
    """As Ray finds it: the address of the interface that would be used, or of the machine itself."""
    with socket.socket(type=socket.SOCK_DGRAM) as one, suppress(OSError):
        one.connect(("192.0.2.1", 1))  # nothing is sent
        return one.getsockname()[0]
    return "127.0.0.1"


HOST = own_address()


def free_port():
    """One that the script can come to."""
    for port in range(PORT + os.getpid() % 5000, PORT + 10000):
        with socket.socket() as one:
            if one.connect_ex((HOST, port)):
                return port
    raise AssertionError("no port is free")


def submitted(folder, text, srun, **variables):
    """The script as Slurm would run it in a checkout: on its first machine, with its variables."""
    executable(folder / "bin" / "srun", srun)
    executable(folder / "bin" / "hostname", f"#!/bin/bash\necho {HOST}\n")
    executable(folder / "bin" / "python", f'#!/bin/bash\nexec "{sys.executable}" "$@"\n')
    executable(folder / ".venv" / "bin" / "activate", "")
    (folder / "run_all.py").symlink_to(ROOT / "run_all.py")
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    given = os.environ | {"PATH": path, "SLURM_NNODES": "2", "SLURM_CPUS_PER_TASK": "1"} | variables
    command = ["bash", "-euo", "pipefail", "-c", text]
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, timeout=280)


def test_every_machine_is_told_the_same_and_the_first_one_what_to_run(tmp_path):
    said = submitted(tmp_path, script(), '#!/bin/bash\nprintf "%s\\n" "$@"\n', SLURM_JOB_ID="20042").stdout.splitlines()
    cluster, command = said[: said.index("--")], said[said.index("--") + 1 :]
    address = f"{HOST}:20042"
    assert cluster == ["ray", "symmetric-run", "--address", address, "--min-nodes", "2", "--num-cpus", "1"]
    assert command[:2] == ["python", "run_all.py"]
    assert command[-4:] == ["--engine", "ray", "--address", address]


@pytest.mark.slow
def test_it_computes_a_paper_on_two_nodes(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install --editable '.[ray]'")
    smaller = script().replace("--profile paper --data-root /data/coco", SMALLER)
    assert SMALLER in smaller
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as short:  # names of sockets have a limit
        places = {"NLCORE_OUTPUT": str(tmp_path / "figures"), "NLCORE_STORE": str(tmp_path / "store")}
        cluster = {"RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_TMPDIR": short, "SLURM_JOB_ID": str(port - PORT)}
        done = submitted(tmp_path, smaller, SRUN.format(python=sys.executable, root=ROOT), **places, **cluster)
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"[1-9]\d* runs computed, 0 taken from the store", done.stdout)
    assert len(list((tmp_path / "store").rglob("*.safetensors"))) > 40
    with socket.socket() as one:
        assert one.connect_ex((HOST, port)), "nothing of the cluster is left"

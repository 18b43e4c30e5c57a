"""Kernels of notebooks: forked from the server of workers, with Jupyter's and Matplotlib's ways in them."""

import json
import multiprocessing
import sys

import matplotlib.pyplot  # noqa: F401 - so that the server has it, without a kernel
import nbformat
import psutil
import pytest

from nlcore.app import kernels, notebooks

pytestmark = pytest.mark.slow
TOLD = """
import json, os, psutil
import matplotlib
from matplotlib import pyplot
told = {"parent": psutil.Process().parent().cmdline(), "argv": psutil.Process().cmdline(), "cwd": os.getcwd()}
print(json.dumps(told | {"variable": os.environ.get("NLCORE_OF_THIS_TEST"), "pid": os.getpid()}))
pyplot.plot([1, 2]);
"""


def executed(folder):
    """What the kernel of a small notebook tells of itself, and what its cell has shown."""
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    parameters = nbformat.v4.new_code_cell("level: int = 1", metadata={"tags": ["parameters"]})
    cells = [parameters, nbformat.v4.new_code_cell(TOLD)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "n.ipynb")
    notebooks.execute(folder / "n.ipynb", folder / "out.ipynb", {"level": 2})
    told, picture = nbformat.read(folder / "out.ipynb", 4).cells[-1].outputs
    return json.loads(told.text), picture.data


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere kernels begin as Jupyter begins them")
def test_a_kernel_is_forked_stands_where_its_notebook_does_draws_in_it_and_is_gone(tmp_path, monkeypatch):
    monkeypatch.setenv("NLCORE_OF_THIS_TEST", "seen")
    told, shown = executed(tmp_path)
    assert "multiprocessing.forkserver" in " ".join(told["parent"])
    assert (told["cwd"], told["variable"]) == (str(tmp_path), "seen")
    assert "image/png" in shown
    assert not psutil.pid_exists(told["pid"])


def test_where_forks_are_not_safe_a_kernel_begins_as_jupyter_begins_it(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels, "worker_context", lambda: multiprocessing.get_context("spawn"))
    told, shown = executed(tmp_path)
    assert "ipykernel_launcher" in told["argv"]
    assert "image/png" in shown

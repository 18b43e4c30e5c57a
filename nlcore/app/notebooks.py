"""Executing the notebooks with Papermill: parameters are checked first, and a failure becomes a clear message.

Papermill and nbformat are loaded where they are used: they take seconds, and a plan needs neither.
"""

from __future__ import annotations

import ast
import json
import logging
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from pydantic import TypeAdapter, ValidationError

from nlcore.app.light_imports import without_grammar_of_addresses
from nlcore.errors import InputError, require
from nlcore.files import write_atomically

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from traitlets.config import Config

TABLE_ID = re.compile(r"T_[0-9a-f]{5}(?![0-9a-f])")  # of pandas' styled tables
ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # of an object, in its repr
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "None": None, "Optional": Optional}

# It warns of parameters whose type it cannot read; check_parameters reads them all.
logging.getLogger("papermill").setLevel(logging.ERROR)


class NotebookFailedError(RuntimeError):
    """A notebook did not run to its end."""


def stated_parameters(notebook: Path) -> dict[str, str]:
    """Name -> stated type of every parameter, from the annotated assignments of the cell tagged "parameters".

    Papermill's own reader passes over a type such as `list[int] | None`.

    Raises:
        InputError: the notebook is not there: an installed package has none.
    """
    require(notebook.is_file(), "notebook", str(notebook), "one that is there, as in a checkout of the repository")
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    tagged = (cell for cell in cells if "parameters" in cell["metadata"].get("tags", []))
    source = "\n".join("".join(cell["source"]) for cell in tagged)
    stated = [node for node in ast.parse(source).body if isinstance(node, ast.AnnAssign)]
    return {ast.unparse(node.target): ast.unparse(node.annotation) for node in stated}


def check_parameters(notebook: Path, parameters: Mapping[str, Any]) -> None:
    """Hold names and types against the notebook's own parameters cell: Papermill itself only warns.

    Raises:
        InputError: a name the notebook does not have, or a value of another type than it states.
    """
    stated = stated_parameters(notebook)
    for name, value in parameters.items():
        if name not in stated:
            raise InputError(
                f"parameter {name!r}: {notebook.name} has none of that name; expected one of {', '.join(stated)}"
            )
        expected = eval(stated[name], {"__builtins__": {}}, TYPES)
        try:
            TypeAdapter(expected).validate_python(value, strict=True)
        except ValidationError as error:
            raise InputError(
                f"parameter {name!r}: found {value!r}; expected {stated[name]}, as {notebook.name} states it"
            ) from error


def execute(notebook: Path, output: Path, parameters: Mapping[str, Any]) -> None:
    """Run a notebook and leave it, with its outputs, at `output`; a failed one goes to `output` + ".failed".

    With the parameter `partial` a cell that needs runs which are not finished is passed over, in one line; the last
    one, which says what was written, is not.

    Raises:
        InputError: parameters the notebook does not take.
        NotebookFailedError: a cell failed or the kernel died; the message holds the last lines it printed.
    """
    without_grammar_of_addresses()
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    check_parameters(notebook, parameters)
    with tempfile.TemporaryDirectory() as folder:
        executed = Path(folder) / notebook.name
        try:
            papermill.execute_notebook(
                str(notebook),
                str(executed),
                dict(parameters),
                kernel_name="python3",
                cwd=str(notebook.parent),
                progress_bar=False,
                log_output=False,
                start_timeout=120,
                config=_kernel(Path(folder)),
                allow_errors=parameters.get("partial", False),
            )
        except (PapermillExecutionError, DeadKernelError) as error:
            if parameters.get("partial", False) and isinstance(error, PapermillExecutionError) and _pass_over(executed):
                return _put(executed, output)
            failed = output.with_name(f"{output.name}.failed")
            if executed.exists():
                _put(executed, failed)
            raise NotebookFailedError(f"{notebook.name}: {_reason(error)} (as far as it came: {failed})") from error
        _put(executed, output)


def _put(executed: Path, output: Path) -> None:
    write_atomically(output, executed.read_bytes())


def _pass_over(executed: Path) -> bool:
    """Put a line in the place of each error; whether the last cell had none."""
    import nbformat
    from papermill.execute import ERROR_MARKER_TAG

    notebook = nbformat.read(executed, 4)
    notebook.cells = [cell for cell in notebook.cells if ERROR_MARKER_TAG not in cell.metadata.get("tags", [])]
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        errors = [output for output in cell.outputs if output.output_type == "error"]
        if errors:
            said = f"not made, for runs are not finished ({errors[0].ename}: {errors[0].evalue})\n"
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=said)]
    nbformat.write(notebook, executed)
    return not errors


def _kernel(folder: Path) -> Config:
    """Sockets in a folder of the kernel's own: kernels that run at once cannot meet, and no other user can listen."""
    from traitlets.config import Config

    from nlcore.app.kernels import ForkedKernelManager

    return Config({
        "KernelManager": {"transport": "ipc", "ip": str(folder / "kernel")},
        "NotebookClient": {"kernel_manager_class": ForkedKernelManager},
    })


def _reason(error: Exception) -> str:
    from papermill.exceptions import PapermillExecutionError

    if isinstance(error, PapermillExecutionError):
        return f"cell {error.exec_count} raised {error.ename}: {error.evalue}"
    return f"its kernel died ({error}); out of memory is the usual cause"


def settle(notebook: NotebookNode) -> None:
    """Leave in a notebook's outputs only what follows from its cells, in place: two executions then look the same.

    What went to stderr is about the machine and names its folders; a text that came in pieces is one; the tables of
    pandas, which draws their ids at random, are numbered; and no object names its place in memory.
    """
    numbers: dict[str, str] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _joined([output for output in cell.outputs if output.get("name") != "stderr"])
            for output in cell.outputs:
                data = output.get("data", {})
                if "text/html" in data:
                    number = lambda found: numbers.setdefault(found[0], f"T_{len(numbers):05d}")
                    data["text/html"] = TABLE_ID.sub(number, "".join(data["text/html"]))
                if "text/plain" in data:
                    data["text/plain"] = ADDRESS.sub("", "".join(data["text/plain"]))


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Pieces of one stream that follow each other, as one."""
    joined: list[NotebookNode] = []
    for output in outputs:
        if joined and output.output_type == "stream" == joined[-1].output_type and output.name == joined[-1].name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def store_outputs(executed: Path, notebook: Path) -> None:
    """Copy the outputs of an executed notebook into its source.

    What Papermill added is left out, and so is what `settle` takes away.
    """
    without_grammar_of_addresses()
    import nbformat

    source, done = nbformat.read(notebook, 4), nbformat.read(executed, 4)
    settle(done)
    outputs = {cell.id: cell for cell in done.cells if cell.cell_type == "code"}
    for cell in source.cells:
        if cell.cell_type == "code":
            cell.outputs = outputs[cell.id].outputs
            cell.execution_count = outputs[cell.id].execution_count
    nbformat.write(source, notebook)

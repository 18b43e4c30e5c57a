"""Execute notebooks/06_your_own_labels.ipynb and keep its outputs in it: no paper's batch does.

    python scripts/tutorial.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from nlcore.app import notebooks
from nlcore.places import home
from nlcore.runs.processes import PROCESS, environment

if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit("scripts/tutorial.py: takes no argument; writes notebooks/06_your_own_labels.ipynb")
    notebook = home() / "notebooks" / "06_your_own_labels.ipynb"
    with tempfile.TemporaryDirectory() as folder, environment(PROCESS):
        executed = Path(folder) / notebook.name
        notebooks.execute(notebook, executed, {})
        notebooks.store_outputs(executed, notebook)

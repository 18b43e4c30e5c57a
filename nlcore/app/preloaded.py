"""What the server of a batch's processes loads, once: workers and notebooks are forked from it with all of this there.

Nothing that is loaded here computes, draws a random number or begins a thread: a fork is like a fresh process that has
imported the same. To import this module is to load it; a server whose driver has ended meanwhile does not go on.
"""

import os
from importlib import import_module
from importlib.util import find_spec

PARENT = os.getppid()
OTHERS = (
    "torch", "scipy.stats", "pandas", "sklearn.ensemble", "sklearn.linear_model", "ipykernel.ipkernel",
    "matplotlib.figure", "seaborn",
)  # fmt: skip
OWN = (
    "nlcore.papers.cleanlab_ema.runs", "nlcore.papers.galc_slr.runs", "nlcore.papers.multi_al.runs",
    "nlcore.papers.missing_label_al.runs", "nlcore.papers.teacher_student.runs", "nlcore.app.notebooks",
)  # fmt: skip

for name in (*OTHERS, *OWN):
    if os.getppid() != PARENT:
        os._exit(0)
    if find_spec(name.partition(".")[0]):  # what is not installed, a worker that needs it will say
        import_module(name)

"""`run_all.py` as people run it, in a process of its own; but for how that begins.

Most are forked from the server that `nlcore.runs.processes` begins workers from: to load torch anew in each would take
longer than what they do. Tests of how a command begins, or of its end by a signal, begin Python themselves.
"""

import os
import signal
import sys
import tempfile
from pathlib import Path
from subprocess import CompletedProcess

from nlcore.runs.processes import as_in_driver, begin_server, settle_in

ROOT = Path(__file__).resolve().parents[1]


def run_all(*arguments, cwd=ROOT):
    """What came of `run_all.py` with these arguments: exit code, stdout and stderr."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("stdout", "stderr")]
        words = [str(argument) for argument in arguments]
        process = begin_server().Process(target=_main, args=(words, str(cwd), as_in_driver(), files))
        process.start()
        process.join()
        return CompletedProcess(["run_all.py", *words], process.exitcode, *(file.read_text() for file in files))


def _main(words, cwd, told, files):
    os.chdir(cwd)
    settle_in(*told)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, (name, file) in enumerate(zip(("stdout", "stderr"), files, strict=True), start=1):
        os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY), number)
        setattr(sys, name, os.fdopen(number, "w", closefd=False))
    sys.argv = ["run_all.py", *words]
    sys.path.insert(0, str(ROOT))
    from nlcore.app.cli import main

    sys.exit(main())

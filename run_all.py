#!/usr/bin/env python
"""Re-run the papers: compute what is missing, execute the notebooks, write figures/, print the verdicts."""

import sys

from nlcore.app.cli import main

if __name__ == "__main__":
    sys.exit(main())

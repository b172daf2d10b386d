"""``python -m perflens``."""

from __future__ import annotations

import sys

from perflens.cli import main

if __name__ == "__main__":
    sys.exit(main())

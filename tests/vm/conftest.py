"""The kernel matrix: test_kernels.py runs here, and what is in guest/ inside of the guests that it boots."""

from __future__ import annotations

import os

collect_ignore = [] if "PERFLENS_GUEST" in os.environ else ["guest"]

"""What PerfLens costs, against a floor or a peer that is measured in the same run: `python -m tests.bench`, as root."""

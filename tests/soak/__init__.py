"""What holds for hours: `python -m tests.soak.top`, as root."""

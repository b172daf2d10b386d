"""From the kernel's bytes to values: pure functions, one file each."""

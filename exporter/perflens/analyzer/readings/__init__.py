"""What the kernel counts of a host, its disks and its cgroups, outside of any probe: readings, and what moved between two of them."""

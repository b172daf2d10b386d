"""The binding to the kernel: compiled objects, their layouts, loading, attaching, and the memory that is shared."""

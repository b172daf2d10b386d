"""PerfLens finds and explains slow operations on Linux hosts."""

__all__ = ["__version__"]

__version__ = "0.1.0"

"""The command line: one module per subcommand."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from perflens.errors import PerfLensError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code: 0 done, 1 runtime failure, 2 usage or configuration."""
    from perflens.cli.commands import dispatch  # the agent's imports, after an interpreter that only asks for --version

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names have letters that the locale may not have
    try:
        return dispatch(sys.argv[1:] if argv is None else argv)
    except PerfLensError as error:
        print("\n".join(f"perflens: {line}" for line in str(error).splitlines()), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        return 130

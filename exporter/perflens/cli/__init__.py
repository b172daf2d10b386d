"""The command line: one module per subcommand."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from perflens.cli.hangup import held
from perflens.cli.output import flush, recode
from perflens.errors import PerfLensError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code: 0 done, 1 runtime failure, 2 usage or configuration."""
    given = sys.argv[1:] if argv is None else argv
    recode(errors="backslashreplace")  # names of files and programs are of any language, whatever the locale is
    with held(wanted=given[:1] == ["run"]):
        return _run(given)


def _run(given: Sequence[str]) -> int:
    from perflens.cli.commands import dispatch  # the agent's imports, after an interpreter that only asks for --version

    try:
        try:
            return dispatch(given)
        finally:
            flush()
    except PerfLensError as error:
        print("\n".join(f"perflens: {line}" for line in str(error).splitlines()), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        return 130

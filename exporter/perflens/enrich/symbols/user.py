"""Names of user stacks, of processes that live and of those that have ended once their program was seen."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from time import monotonic

from perflens.enrich.symbols.bounded import Bounded
from perflens.enrich.symbols.client import Helper, HelperError, HelperLate
from perflens.enrich.symbols.text import frame_text
from perflens.model import ProcessKey, UserFrame

__all__ = ["UserSymbols"]

_NAMES = 16_384
_FILES = 4096
_PROCESSES = 512
_FRESH = 5.0  # s that a name holds which the process may change, and that a process is not asked again
_SHUNNED = 60.0
_LEARNED_FOR = 1.0  # s that a program is not read again: scripts start the same few programs thousands of times
_LEARNED_A_SECOND = 100

Name = tuple[str, bool]  # the text of a frame, and whether it names a function
Program = tuple[str | int, str]  # a mount namespace, or a process in it, and a path
Passing = dict[tuple[UserFrame, bool], Name]


class UserSymbols:
    """Functions of user stacks, named by a helper process; no call takes longer than ``timeout`` seconds.

    ``resolved`` and ``unresolved`` count frames with and without a function's name. ``helper_restarts`` counts helpers that were
    killed or died, ``timeouts`` requests that were not answered in time, ``perf_maps_refused`` perf maps that were not to be trusted,
    ``learn_skipped`` programs that were not read because there were too many at once.
    """

    def __init__(
        self, procfs: str = "/proc", *, timeout: float = 1.0, helper: Helper | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._procfs, self._clock = procfs, clock
        self._helper = helper or Helper(procfs, timeout=timeout)
        self._leaves = Bounded[UserFrame, Name](_NAMES // 4)
        self._callers = Bounded[UserFrame, Name](_NAMES)
        self._passing = Bounded[ProcessKey, tuple[float, Passing]](_PROCESSES)
        self._shunned = Bounded[ProcessKey | Program, float](_PROCESSES)
        self._paths = Bounded[bytes, bytes](_FILES)
        self._learned = Bounded[Program, float](_PROCESSES)
        self._tokens, self._tokens_at = float(_LEARNED_A_SECOND), clock()
        self.resolved = self.unresolved = self.perf_maps_refused = self.learn_skipped = 0

    @property
    def helper_restarts(self) -> int:
        """Helpers that were killed or died."""
        return self._helper.restarts

    @property
    def timeouts(self) -> int:
        """Requests that were not answered in time."""
        return self._helper.timeouts

    @property
    def names_kept(self) -> int:
        """Frames whose names are remembered."""
        return len(self._leaves) + len(self._callers)

    @property
    def files_known(self) -> int:
        """Files of which it is remembered where they were."""
        return len(self._paths)

    def names(self, process: ProcessKey, frames: Sequence[UserFrame], near: Sequence[int] = ()) -> tuple[str, ...]:
        """Return the text of each frame, the leaf first as ``frames`` has it.

        ``near`` are PIDs of processes that may run the same files, its parent for one: they are looked at when it has ended.
        """
        callers = self._callers
        found = [callers.get(frame) for frame in frames]
        if found:
            found[0] = self._leaves.get(frames[0])
        if None in found:
            self._complete(process, frames, found, near)
        named = sum(1 for name in found if name and name[1])
        self.resolved += named
        self.unresolved += len(found) - named
        return tuple(name[0] for name in found if name)

    def learn(self, process: ProcessKey) -> bool:
        """Remember the functions of the files that a process runs now; false when it has ended or there is no time for it.

        It is called when a process became another program, or is seen for the first time.
        """
        self._passing.drop(process)
        try:
            program = os.readlink(f"{self._procfs}/{process.pid}/exe")
            namespace = os.readlink(f"{self._procfs}/{process.pid}/ns/mnt")
        except OSError:
            return False
        return self._learn((namespace, program), process, [b"learn", b"%d" % process.pid, b"%d" % process.start])

    def learn_path(self, path: str, mount_namespace_pid: int = 0) -> bool:
        """Remember the functions of a program by its path, for a process that has ended already.

        It is looked for where a living process of the same mount namespace sees it, else where we do; its build-id says for which
        frames it holds.
        """
        if not path.startswith("/"):
            return False
        pids = [b"%d" % mount_namespace_pid] if mount_namespace_pid else []
        return self._learn((mount_namespace_pid, path), None, [b"path", os.fsencode(path), *pids])

    def build_of(self, path: str, process: ProcessKey) -> str:
        """Return the build-id of a program that a process runs, in hexadecimal; empty when it has none, or the process has ended.

        HelperError when there is no answer, as when the file hangs.
        """
        if not path.startswith("/") or not os.path.exists(f"{self._procfs}/{process.pid}"):  # most end at once: no helper for them
            return ""
        answer = self._helper.ask([b"build", os.fsencode(path), b"%d" % process.pid, b"%d" % process.start])
        return answer[0].hex() if answer else ""

    def close(self) -> None:
        """End the helper."""
        self._helper.close()

    def _learn(self, program: Program, process: ProcessKey | None, request: list[bytes]) -> bool:
        now = self._clock()
        if now - (self._learned.get(program) or -_LEARNED_FOR) < _LEARNED_FOR and not program[1].endswith(" (deleted)"):
            return True
        if self._is_shunned(program) or (process is not None and self._is_shunned(process)):
            return False
        if not self._take_token(now):
            self.learn_skipped += 1
            return False
        answer = self._ask(process or program, request)
        if not answer:
            return False
        pid = request[1] if process is not None else (request[2:] or [b"0"])[0]
        for build_id, path in zip(answer[::2], answer[1::2], strict=False):
            self._paths.put(build_id, pid + b" " + path)
        self._learned.put(program, now)
        return True

    def _take_token(self, now: float) -> bool:
        self._tokens = min(self._tokens + (now - self._tokens_at) * _LEARNED_A_SECOND, _LEARNED_A_SECOND)
        self._tokens_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _complete(self, process: ProcessKey, frames: Sequence[UserFrame], found: list[Name | None], near: Sequence[int]) -> None:
        passing = self._passing_of(process)
        for index, frame in enumerate(frames):
            found[index] = found[index] or passing.get((frame, index == 0))
        missing = [index for index, name in enumerate(found) if name is None]
        if not missing:
            return
        answer = self._ask(process, self._request(process, [(frames[index], index) for index in missing], near))
        if len(answer) != 1 + 4 * len(missing):
            for index in missing:
                found[index] = self._unnamed(frames[index])
            return
        self.perf_maps_refused += int(answer[0])
        for place, index in enumerate(missing):
            function, offset, module, last_word = answer[1 + 4 * place : 5 + 4 * place]
            found[index] = name = self._named(frames[index], function, int(offset), module)
            if last_word == b"1":
                (self._callers if index else self._leaves).put(frames[index], name)
            else:
                passing[frames[index], index == 0] = name

    def _request(self, process: ProcessKey, frames: Sequence[tuple[UserFrame, int]], near: Sequence[int]) -> list[bytes]:
        shunned = self._is_shunned(process)
        seen = {path for frame, _ in frames if frame.build_id and (path := self._paths.get(frame.build_id))}
        request = [b"names", b"0" if shunned else b"%d" % process.pid, b"%d" % process.start]
        request += [b"", b""] if shunned else [b" ".join(b"%d" % pid for pid in near), b"\0".join(seen)]
        for frame, index in frames:
            # A return address follows the call, which may be a function's last instruction; the leaf is where it stands.
            request += [frame.build_id, b"%d" % frame.offset, b"1" if index else b"0"]
        return request

    def _ask(self, about: ProcessKey | Program, request: Sequence[bytes]) -> list[bytes]:
        try:
            return self._helper.ask(request)
        except HelperLate:  # its files hang: it is named by what is known without them
            self._shunned.put(about, self._clock())
        except HelperError:
            pass
        return []

    def _is_shunned(self, about: ProcessKey | Program) -> bool:
        since = self._shunned.get(about)
        return since is not None and self._clock() - since < _SHUNNED

    def _passing_of(self, process: ProcessKey) -> Passing:
        kept, now = self._passing.get(process), self._clock()
        if kept is None or now - kept[0] > _FRESH or len(kept[1]) > _NAMES // 4:
            kept = (now, {})
            self._passing.put(process, kept)
        return kept[1]

    def _unnamed(self, frame: UserFrame) -> Name:
        return self._named(frame, b"", frame.offset, b"")

    def _named(self, frame: UserFrame, function: bytes, offset: int, module: bytes) -> Name:
        if not module and frame.build_id:
            module = (self._paths.get(frame.build_id) or b"").rsplit(b"/", 1)[-1]
        return frame_text(function, offset, module, frame.build_id), bool(function)

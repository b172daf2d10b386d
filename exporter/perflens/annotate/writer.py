"""Makes Grafana show one row as it is wanted, in steps of which each can be the last.

Before a POST the row says on disk that one may be under way; whoever finds it so looks for the annotation first. A PATCH can be repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from perflens.annotate.adoption import adopted, find_tags, matches, span
from perflens.annotate.answers import Failure
from perflens.annotate.grafana import Found, GrafanaApi
from perflens.annotate.outbox import Outbox
from perflens.annotate.rows import Row, difference
from perflens.logs import fields

__all__ = ["Operation", "Writer"]

_log = logging.getLogger(__name__)

Operation = Literal["create", "update", "resolve", "tidy"]
_WEAKER: dict[str, Literal["put", "replace"]] = {"patch": "put", "put": "replace"}


class Writer:
    """``now`` is the wall clock in ms.

    There are versions of Grafana that answer a PATCH with success and change nothing, so the annotation is looked at before and after
    the first; where it did nothing a PUT is used, and where that does nothing the annotation is deleted and made anew.
    """

    def __init__(self, api: GrafanaApi, outbox: Outbox, now: Callable[[], int]) -> None:
        self._api, self._outbox, self._now = api, outbox, now
        self._how: Literal["patch", "put", "replace"] = "patch"
        self._is_proved = False

    async def write(self, row: Row) -> Operation:
        """Deliver a row and return what that was; Failure when it is not delivered."""
        if row.doubt and not row.sent.id:
            found = matches(row, await self._find(row))
            if found:
                await self._keep(adopted(row, found[0]))
                return "create"
            row = replace(row, again=True)
        if not row.sent.id:
            await self._create(row)
            return "create"
        if row.may_have_doubles:
            row = await self._without_doubles(row)
        if not difference(row):
            await self._keep(row)
            return "tidy"
        await self._update(row)
        return "update" if row.is_open else "resolve"

    async def _create(self, row: Row) -> None:
        row = replace(row, doubt=True)
        await self._keep(row)
        identity = await self._api.create(_body(row))
        await self._keep(row.delivered(identity))

    async def _update(self, row: Row) -> None:
        if self._how == "replace":
            await self._replace(row)
        elif await self._changed(row, difference(row) if self._is_proved else await self._left(row)):
            await self._keep(row.delivered(row.sent.id))
        else:
            await self._update(row)

    async def _left(self, row: Row) -> dict[str, Any]:
        """What is to be changed of the annotation as Grafana shows it: less than is known where a kill has come between."""
        found = await self._look(row)
        return difference(adopted(row, found) if found else row)

    async def _changed(self, row: Row, body: dict[str, Any]) -> bool:
        """Change the annotation and return whether that worked, as far as can be seen; when it did not, the next way is taken."""
        try:
            await self._change(row, body)
        except Failure as failure:
            if failure.reason != "conflict":
                raise
            await self._change(row, await self._left(row))
        return self._is_proved or not body or await self._prove(row, body)

    async def _change(self, row: Row, body: dict[str, Any]) -> None:
        if body and self._how == "patch":
            await self._api.patch(row.sent.id, body)
        elif body:
            await self._api.put(row.sent.id, _body(row))

    async def _prove(self, row: Row, body: dict[str, Any]) -> bool:
        found = await self._look(row)
        if found and not _shows(found, body):
            self._how = _WEAKER[self._how]
            _log.warning("Grafana says that it changed an annotation and did not", extra=fields(instead=self._how))
            return False
        self._is_proved = found is not None
        return True

    async def _look(self, row: Row) -> Found | None:
        """The annotation as Grafana shows it; None when it does not."""
        return next((each for each in await self._find(row) if each.id == row.sent.id), None)

    async def _replace(self, row: Row) -> None:
        """Delete and create; a kill between finds the row in doubt, and by its tags either the old one or the new one, or none."""
        if not await self._look(row):
            raise Failure("detached", "it is not there any more")
        fresh = replace(row, sent=type(row.sent)(), doubt=True)
        await self._keep(fresh)
        await self._delete(row.sent.id)
        await self._create(fresh)

    async def _without_doubles(self, row: Row) -> Row:
        """Delete what a POST that was given up has made late."""
        for each in matches(row, await self._find(row)):
            if each.id != row.sent.id:
                await self._delete(each.id)
        return replace(row, again=False)

    async def _delete(self, identity: int) -> None:
        """Delete an annotation. That it is gone is success: aiohttp repeats a DELETE whose connection was lost."""
        try:
            await self._api.delete(identity)
        except Failure as failure:
            if failure.reason != "detached":
                raise

    async def _find(self, row: Row) -> tuple[Found, ...]:
        return await self._api.find(find_tags(row), *span(row, self._now()))

    async def _keep(self, row: Row) -> None:
        self._outbox.put(row)
        await self._outbox.save(self._now())


def _body(row: Row) -> dict[str, Any]:
    wanted = row.wanted
    return {"time": wanted.time, "timeEnd": wanted.end, "tags": list(wanted.tags), "text": row.text}


def _shows(found: Found, body: dict[str, Any]) -> bool:
    """Whether a change has taken effect. The end tells alone, where it was changed: a server may tidy texts and tags."""
    if "timeEnd" in body:
        return bool(found.end == body["timeEnd"])
    if "text" in body:
        return bool(found.text == body["text"])
    return set(found.tags) == set(body.get("tags", found.tags))

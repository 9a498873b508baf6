"""Splits of leaves at one connection: made in a thread, with progress; and previews, which only their sender sees."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from channels.db import database_sync_to_async
from django.contrib.auth.models import User

from webapp.editing import leaf_splitting
from webapp.editing.leaf_splitting import Draft
from webapp.editing.leaves import LeavesKey
from webapp.live.dispatch import Performed, perform
from webapp.messages import PreviewSplit, SplitLeaf

__all__ = ["Splitter"]

PROGRESS_S = 0.25  # between two words on how far a split is


class Splitter:
    """``send`` tells the browser an event; ``use_leaves`` says which leaves its blocks are to show."""

    def __init__(
        self,
        user: User,
        project_id: int,
        send: Callable[[str, Any], Awaitable[None]],
        use_leaves: Callable[[LeavesKey], None],
    ) -> None:
        self._user = user
        self._project_id = project_id
        self._send = send
        self._show = use_leaves
        self._leaves = LeavesKey(0)  # of the project
        self._draft: Draft | None = None

    def use_leaves(self, leaves: LeavesKey) -> None:
        """The project has these leaves now."""
        self._leaves = leaves
        draft = self._draft
        # A draft for other leaves is worth nothing, and its numbers may be given to others.
        self._show(leaves if draft is None or draft.leaves != leaves else leaf_splitting.leaves_with(draft))

    async def split(self, command: SplitLeaf) -> Performed:
        """Do the edit, with the draft where the browser looked at one."""
        draft, self._draft = self._draft, None
        try:
            work = partial(perform, draft=draft if command.parts is not None else None)
            return await self._run(work, command.client_id, self._user, self._project_id, command)
        finally:
            if draft is not None:
                await self._discard(draft)

    async def preview(self, command: PreviewSplit) -> None:
        """Cut a leaf and show it to this browser: an event, then its blocks."""
        await self.cancel()
        draft = await self._run(
            leaf_splitting.draft_split,
            command.client_id,
            self._user,
            self._project_id,
            segmentation=command.segmentation,
            version=command.version,
            leaf=command.leaf,
            parts=command.parts,
        )
        self._draft = draft
        told = {"client_id": command.client_id, "leaf": draft.leaf, "first": draft.first}
        await self._send("split.previewed", {**told, "pixels": list(draft.pixels)})
        self.use_leaves(self._leaves)

    async def cancel(self) -> None:
        """Show the project's own leaves again."""
        draft, self._draft = self._draft, None
        if draft is not None:
            self.use_leaves(self._leaves)
            await self._discard(draft)

    async def close(self) -> None:
        """The browser has left."""
        draft, self._draft = self._draft, None
        if draft is not None:
            await self._discard(draft)

    async def _discard(self, draft: Draft) -> None:
        await database_sync_to_async(leaf_splitting.discard_unused, thread_sensitive=False)(
            self._project_id, draft
        )

    async def _run(self, work: Callable[..., Any], client_id: str, *args: Any, **fields: Any) -> Any:
        """Run in a thread, telling how far it is."""
        loop = asyncio.get_running_loop()
        told = loop.time()

        def progress(share: float) -> None:
            # In threads of the split; whoever has left is told nothing.
            nonlocal told
            now = loop.time()
            if now - told >= PROGRESS_S and not loop.is_closed():
                told = now
                event = {"client_id": client_id, "progress": round(share, 3)}
                asyncio.run_coroutine_threadsafe(self._tell(event), loop)

        call = database_sync_to_async(work, thread_sensitive=False)
        return await call(*args, **fields, progress=progress)

    async def _tell(self, event: dict[str, Any]) -> None:
        await self._send("split.progress", event)

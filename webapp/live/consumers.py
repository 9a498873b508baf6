"""The socket of a project (docs/protocol.md, "Socket").

``receive`` only reads and queues, and the handlers of the channel layer only take notes, so that neither ever
waits for a slow database or a slow browser. Five tasks a connection do the work: commands in order, telling
what is new, leaf blocks, the decoder's table, and a heartbeat. What the layer brings are hints; edits are read from the database
after the last number told, so a lost hint costs at most one heartbeat.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from webapp.decoding.completion import Order, order_for
from webapp.errors import InvalidInputError, LimitError, MissingError, describe
from webapp.live import broadcast, readings
from webapp.live.completion_stream import CompletionStream
from webapp.live.dispatch import perform
from webapp.live.event_types import event
from webapp.live.progress import with_progress
from webapp.live.ratelimit import TokenBucket
from webapp.live.splitter import Splitter
from webapp.live.streaming import BlockStream
from webapp.live.viewports import viewports
from webapp.messages import (
    AddOverride,
    AdoptSegmentation,
    CancelSplit,
    Command,
    EditCommand,
    FetchState,
    PreviewSplit,
    RedoEdit,
    ResendEdits,
    RestoreState,
    SplitLeaf,
    UndoEdit,
    WantBlocks,
    parse_command,
    sender_of,
)

__all__ = ["ProjectConsumer"]

logger = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
MAX_TEXT = 1024 * 1024  # characters of one message; an area of interest may have many corners
COMMANDS_PER_S, BURST = 50.0, 100
MAX_QUEUED = 200  # commands read ahead of the database
MISSING = 4404  # close code: no such project


class ProjectConsumer(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        self.user = self.scope["user"]
        self.tasks: list[asyncio.Task[None]] = []
        self.groups_joined: list[str] = []
        if not self.user.is_authenticated:
            await self.close()  # before accepting: the handshake is refused
            return
        self.project_id = int(self.scope["url_route"]["kwargs"]["project_id"])
        try:
            scene_id = await database_sync_to_async(readings.scene_of)(self.user, self.project_id)
        except MissingError:
            await self.accept()  # a refused handshake could not tell the browser why
            await self.close(code=MISSING)
            return
        # The groups first, the state afterwards: what happens in between is then told twice rather than
        # never.
        for group in (broadcast.project_group(self.project_id), broadcast.scene_group(scene_id)):
            await self.channel_layer.group_add(group, self.channel_name)
            self.groups_joined.append(group)
        await self.accept()

        self.number = 0  # of the newest edit told
        self.sending = asyncio.Lock()
        self.news = asyncio.Event()
        self.wants_state = True
        self.can_step: tuple[bool, bool] | None = None  # can undo, can redo; None: to be read
        self.repeats: list[int] = []
        self.progress: dict[int, dict[str, Any]] = {}
        self.statistics: set[int] = set()
        self.notes: set[str] = set()  # "comments", "versions": what has changed beside the edits
        self.is_listed_anew = False
        self.known_segmentations: set[int] = set()
        self.commands: asyncio.Queue[EditCommand | WantBlocks | PreviewSplit | CancelSplit] = asyncio.Queue(
            MAX_QUEUED
        )
        self.bucket = TokenBucket(COMMANDS_PER_S, BURST)
        self.stream = BlockStream(self._send_bytes)
        self.completion = CompletionStream(self._read_order, self._send_bytes, self._send_event)
        self.adopting: asyncio.Task[None] | None = None
        self.splitter = Splitter(self.user, self.project_id, self._send_event, self.stream.use_leaves)
        self.splitting: asyncio.Task[None] | None = None
        self.drawing: asyncio.Task[None] | None = None
        self.news.set()
        streams = (self.stream.run(), self.completion.run())
        for work in (self._tell_news(), self._perform_commands(), *streams, self._beat()):
            self._start(work)

    async def disconnect(self, code: int) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        if hasattr(self, "splitter"):
            await self.splitter.close()
        for group in self.groups_joined:
            await self.channel_layer.group_discard(group, self.channel_name)
        await sync_to_async(viewports.drop, thread_sensitive=False)(self.channel_name)

    # ------------------------------------------------------------------------------------------------ in

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        client_id = None
        try:
            if text_data is None:
                raise InvalidInputError("Binary messages are not understood here; commands are JSON text.")
            if len(text_data) > MAX_TEXT:
                raise LimitError(f"The message has {len(text_data)} characters; at most {MAX_TEXT} are read.")
            client_id = sender_of(text_data) if len(text_data) < 4096 else None
            if not self.bucket.take():
                raise LimitError("Too many commands at once; wait a second and go on.")
            command = parse_command(text_data)
            client_id = getattr(command, "client_id", None)
            self._take(command)
        except Exception as error:
            await self._reject(client_id or (sender_of(text_data) if text_data else None), error)

    def _take(self, command: Command) -> None:
        if isinstance(command, FetchState):
            self.wants_state = True
            self.news.set()
        elif isinstance(command, ResendEdits):
            # Ahead of us it can only be by mistake (a restored database): it needs the whole state.
            self.wants_state = self.wants_state or command.number > self.number
            self.number = min(self.number, command.number)
            self.news.set()
        elif isinstance(command, EditCommand | WantBlocks | PreviewSplit | CancelSplit):
            try:
                self.commands.put_nowait(command)
            except asyncio.QueueFull:
                raise LimitError(
                    "The server is behind with your commands; wait a moment and go on."
                ) from None

    async def _perform_commands(self) -> None:
        while True:
            command = await self.commands.get()
            if isinstance(command, EditCommand) and self.drawing is not None and not self.drawing.done():
                await asyncio.wait([self.drawing])  # what is drawn next lies over it, and an undo takes it back
            if isinstance(command, WantBlocks):
                await self._want(command)
            elif isinstance(command, AdoptSegmentation):
                await self._adopt(command)
            elif isinstance(command, SplitLeaf | PreviewSplit):
                await self._split(command)
            elif isinstance(command, AddOverride):
                self.drawing = self._start(self._guarded(command.client_id, self._draw(command)))
            elif isinstance(command, CancelSplit):
                await self._guarded(None, self.splitter.cancel())
            elif isinstance(command, UndoEdit | RedoEdit | RestoreState) and self._is_splitting:
                waits = LimitError("Your split is still being made; undo or redo once it is there.")
                await self._reject(command.client_id, waits)
            else:
                await self._perform(command, thread_sensitive=True)

    async def _perform(self, command: EditCommand, thread_sensitive: bool) -> None:
        try:
            call = database_sync_to_async(perform, thread_sensitive=thread_sensitive)
            done = await call(self.user, self.project_id, command)
        except Exception as error:
            await self._reject(command.client_id, error)
            return
        if done.is_repeat:
            self.repeats.append(done.number)
        self.news.set()

    async def _adopt(self, command: AdoptSegmentation) -> None:
        # Carrying classes over may take a minute, in which one can go on classifying on the old leaves.
        if self.adopting is not None and not self.adopting.done():
            await self._reject(
                command.client_id, LimitError("A segmentation is being adopted already; wait for it.")
            )
            return
        self.adopting = self._start(self._perform(command, thread_sensitive=False))

    @property
    def _is_splitting(self) -> bool:
        return self.splitting is not None and not self.splitting.done()

    async def _split(self, command: SplitLeaf | PreviewSplit) -> None:
        # It reads and writes all blocks of a leaf; one can go on classifying meanwhile.
        if self._is_splitting:
            await self._reject(
                command.client_id, LimitError("A cluster is being split already; wait for it.")
            )
            return
        self.splitting = self._start(self._guarded(command.client_id, self._perform_split(command)))

    async def _perform_split(self, command: SplitLeaf | PreviewSplit) -> None:
        if isinstance(command, PreviewSplit):
            await self.splitter.preview(command)
            return
        done = await self.splitter.split(command)
        if done.is_repeat:
            self.repeats.append(done.number)
        self.news.set()

    async def _draw(self, command: AddOverride) -> None:
        async def tell(share: float) -> None:
            told = {"client_id": command.client_id, "progress": share}
            await self._send_event("override.progress", told)

        done = await with_progress(partial(perform, self.user, self.project_id, command), tell)
        if done.is_repeat:
            self.repeats.append(done.number)
        self.news.set()

    async def _guarded(self, client_id: str | None, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            await self._reject(client_id, error)

    async def _want(self, command: WantBlocks) -> None:
        try:
            if command.segmentation not in self.known_segmentations:
                await database_sync_to_async(readings.require_segmentation_of_project)(
                    self.user, self.project_id, command.segmentation
                )
                self.known_segmentations.add(command.segmentation)
            self.stream.want(command.segmentation, command.level, command.blocks)
            blocks = [(command.level, row, col) for row, col in command.blocks]
            await sync_to_async(viewports.put, thread_sensitive=False)(
                self.channel_name, command.segmentation, blocks
            )
        except Exception as error:
            await self._reject(None, error)

    # ------------------------------------------------------------------------------------------------ hints

    async def edit_recorded(self, message: dict[str, Any]) -> None:
        self.news.set()

    async def segmentation_grew(self, message: dict[str, Any]) -> None:
        progress = message["progress"]
        self.progress[progress["segmentation"]] = progress
        if progress["state"] == "running":
            self.stream.grew(progress["segmentation"], message["blocks"])
        else:
            self.stream.look_again()
        self.completion.grew()
        self.news.set()

    async def segmentations_listed(self, message: dict[str, Any]) -> None:
        self.is_listed_anew = True
        self.stream.look_again()
        self.news.set()

    async def notes_changed(self, message: dict[str, Any]) -> None:
        self.notes.add(message["what"])
        self.news.set()

    async def statistics_grew(self, message: dict[str, Any]) -> None:
        self.statistics.add(message["segmentation"])
        self.news.set()

    # ------------------------------------------------------------------------------------------------ out

    async def _tell_news(self) -> None:
        while True:
            await self.news.wait()
            self.news.clear()
            try:
                await self._tell_edits()
                if self.is_listed_anew:
                    self.is_listed_anew = False
                    changed = database_sync_to_async(readings.segmentations)
                    await self._send_event("segmentations.changed", await changed(self.user, self.project_id))
            except MissingError:
                await self.close(code=MISSING)
                return
            progress, self.progress = self.progress, {}
            for latest in progress.values():
                await self._send_event("segmentation.progress", latest)
            notes, self.notes = self.notes, set()
            for what in sorted(notes):
                await self._send_event(f"{what}.changed", {})
            statistics, self.statistics = self.statistics, set()
            for segmentation in sorted(statistics):
                await self._send_event("statistics.changed", {"segmentation": segmentation})

    async def _tell_edits(self) -> None:
        if not self.wants_state:
            applied = await database_sync_to_async(readings.edits_since)(
                self.user, self.project_id, self.number, self.can_step
            )
            if applied is None:
                self.wants_state = True  # too far behind
            else:
                for told in applied.events:
                    await self._send_event("edit.applied", told)
                    self.number = told["number"]
                if any("splits" in told or told.get("reload") for told in applied.events):
                    await self._use_leaves()
                self.can_step = applied.can_step
                if applied.events:
                    self.completion.look()
        if self.wants_state:
            self.wants_state = False
            state = await database_sync_to_async(readings.state)(self.user, self.project_id)
            await self._send_event("project.state", state)
            await self._use_leaves()
            self.number, self.can_step = state["number"], (state["can_undo"], state["can_redo"])
            self.completion.start_anew()
        repeats, self.repeats = self.repeats, []
        for number in repeats:
            again = await database_sync_to_async(readings.edits_since)(
                self.user, self.project_id, number - 1, self.can_step, limit=1
            )
            if again is not None and again.events:
                await self._send_event("edit.applied", again.events[0])

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                number = await database_sync_to_async(readings.newest_number)(
                    self.user, self.project_id, self.scope.get("session")
                )
            except MissingError:
                await self.close(code=MISSING)
                return
            await self._send_event("heartbeat", {"number": number})
            if number != self.number:
                self.news.set()
            self.stream.look_again()
            if self.stream.segmentation:
                await sync_to_async(viewports.tell, thread_sensitive=False)(self.stream.segmentation)

    async def _use_leaves(self) -> None:
        self.splitter.use_leaves(await database_sync_to_async(readings.leaves)(self.user, self.project_id))

    async def _read_order(self) -> Order:
        return await database_sync_to_async(order_for)(self.user, self.project_id)

    async def _reject(self, client_id: str | None, error: Exception) -> None:
        problem = describe(error)
        rejected = {"client_id": client_id, "code": problem.code, "message": problem.message}
        await self._send_event("command.rejected", rejected)

    async def _send_event(self, kind: str, payload: Any) -> None:
        async with self.sending:
            await self.send(text_data=event(kind, payload))

    async def _send_bytes(self, frame: bytes) -> None:
        async with self.sending:
            await self.send(bytes_data=frame)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._guard(work))
        self.tasks.append(task)
        task.add_done_callback(self.tasks.remove)
        return task

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        """A connection whose task broke is closed, so that the browser opens a sound one."""
        try:
            await work
        except Exception:
            logger.exception("a task of the socket of project %s failed", self.project_id)
            await self.close(code=1011)

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
from channels.consumer import get_handler_name
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from webapp.errors import InvalidInputError, LimitError, MissingError, describe
from webapp.live import readings, rooms
from webapp.live.completion_stream import CompletionStream
from webapp.live.database import in_database
from webapp.live.dispatch import Performed, perform
from webapp.live.ending import end
from webapp.live.event_types import event
from webapp.live.feed import SharedEdit
from webapp.live.mark import mark_of
from webapp.live.outbox import Outbox
from webapp.live.progress import with_progress
from webapp.live.ratelimit import TokenBucket
from webapp.live.splitter import Splitter
from webapp.live.standings import Guest
from webapp.live.streaming import BlockStream
from webapp.live.teller import Teller
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
    TakeBlocks,
    TellPresence,
    UndoEdit,
    WantBlocks,
    looks_like_presence,
    parse_command,
    sender_of,
)

__all__ = ["ProjectConsumer"]

logger = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
STANDING_AGE = 0.2  # share of that: how old what a heartbeat tells may be
MAX_TEXT = 1024 * 1024  # characters of one message; an area of interest may have many corners
COMMANDS_PER_S, BURST = 50.0, 100
MAX_QUEUED = 200  # commands read ahead of the database
PRESENCES_PER_S, PRESENCE_BURST = 10.0, 20
MISSING = 4404  # close code: no such project
TOO_SLOW = 1013  # close code: try again


class ProjectConsumer(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        self.user = self.scope["user"]
        self.tasks: list[asyncio.Task[None]] = []
        if not self.user.is_authenticated:
            await self.close()  # before accepting: the handshake is refused
            return
        self.project_id = int(self.scope["url_route"]["kwargs"]["project_id"])
        try:
            scene_id, person = await in_database(readings.entrance)(self.user, self.project_id)
        except MissingError:
            await self.accept()  # a refused handshake could not tell the browser why
            await self.close(code=MISSING)
            return
        # Hints first, the state afterwards: what happens in between is then told twice rather than never.
        self.room = await rooms.enter(self.project_id, scene_id)
        await self.accept()

        self.outbox = Outbox(self._write_text, self._write_bytes, self._give_up)
        self.here = self.room.presence.join(person)
        self.teller = Teller(
            self.user,
            self.project_id,
            self.room.feed,
            self.outbox,
            self._after_edits,
            self._after_start,
            mark_of(self.scope.get("query_string", b"")),
        )
        self.role = person.role
        self.asks_role = asyncio.Event()
        self.known_segmentations: set[int] = set()
        self.commands: asyncio.Queue[EditCommand | WantBlocks | PreviewSplit | CancelSplit] = asyncio.Queue(
            MAX_QUEUED
        )
        self.bucket = TokenBucket(COMMANDS_PER_S, BURST)
        self.presence_bucket = TokenBucket(PRESENCES_PER_S, PRESENCE_BURST)
        self.stream = BlockStream(self.outbox.put_block)
        self.completion = CompletionStream(self.room.feed.order, self._send_table, self._send_event)
        self.adopting: asyncio.Task[None] | None = None
        self.splitter = Splitter(self.user, self.project_id, self._send_event, self.stream.use_leaves)
        self.splitting: asyncio.Task[None] | None = None
        self.drawing: asyncio.Task[None] | None = None
        self.room.guests.add(self)
        self.room.standings.join(self, Guest(self.user.pk, self.scope.get("session")))
        streams = (self.stream.run(), self.completion.run(), self.outbox.run())
        for work in (
            self._tell_news(),
            self._watch_members(),
            self._perform_commands(),
            *streams,
            self._beat(),
        ):
            self._start(work)

    async def dispatch(self, message: dict[str, Any]) -> None:
        """As Channels has it, but for a look at the database first, behind which each word would wait in line."""
        handler = getattr(self, get_handler_name(message), None)
        if handler is None:
            raise ValueError(f"No handler for message type {message['type']}")
        await handler(message)

    async def close(self, code: int | None = None, reason: str | None = None) -> None:
        if hasattr(self, "outbox"):
            self.outbox.close()  # a server takes nothing after the word that closes
        await super().close(code=code, reason=reason)

    async def disconnect(self, code: int) -> None:
        await end(self.tasks)
        if hasattr(self, "splitter"):
            await self.splitter.close()
        if hasattr(self, "here"):
            self.here.leave()
        if hasattr(self, "room"):
            self.room.guests.discard(self)
            self.room.standings.leave(self)
            await rooms.leave(self.room)
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
            if looks_like_presence(text_data):
                # Beyond its rate it is dropped without a word, and it never counts against edits.
                if self.presence_bucket.take():
                    self._take(parse_command(text_data))
                return
            if not self.bucket.take():
                raise LimitError("Too many commands at once; wait a second and go on.")
            command = parse_command(text_data)
            client_id = getattr(command, "client_id", None)
            self._take(command)
        except Exception as error:
            await self._reject(client_id or (sender_of(text_data) if text_data else None), error)

    def _take(self, command: Command) -> None:
        if isinstance(command, FetchState):
            self.teller.start_anew()
        elif isinstance(command, ResendEdits):
            self.teller.go_back_to(command.number)
        elif isinstance(command, TellPresence):
            self.here.say(command.model_dump(exclude={"type"}))
        elif isinstance(command, TakeBlocks):
            if not self.outbox.took(command.frames):
                raise InvalidInputError(f"{command.frames} frames cannot have come: fewer were sent.")
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
                await asyncio.wait(
                    [self.drawing]
                )  # what is drawn next lies over it, and an undo takes it back
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
                await self._perform(command, in_turn=True)

    async def _perform(self, command: EditCommand, in_turn: bool) -> None:
        try:
            call = (
                in_database(perform) if in_turn else database_sync_to_async(perform, thread_sensitive=False)
            )
            done = await call(self.user, self.project_id, command)
        except Exception as error:
            await self._reject(command.client_id, error)
            return
        self._done(done)

    async def _adopt(self, command: AdoptSegmentation) -> None:
        # Carrying classes over may take a minute, in which one can go on classifying on the old leaves.
        if self.adopting is not None and not self.adopting.done():
            await self._reject(
                command.client_id, LimitError("A segmentation is being adopted already; wait for it.")
            )
            return
        self.adopting = self._start(self._perform(command, in_turn=False))

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
        self._done(done)

    async def _draw(self, command: AddOverride) -> None:
        async def tell(share: float) -> None:
            told = {"client_id": command.client_id, "progress": share}
            await self._send_event("override.progress", told)

        done = await with_progress(partial(perform, self.user, self.project_id, command), tell)
        self._done(done)

    def _done(self, done: Performed) -> None:
        if done.is_repeat:
            self.teller.tell_again(done.number)
        else:
            self.teller.made(done.number)

    async def _guarded(self, client_id: str | None, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            await self._reject(client_id, error)

    async def _want(self, command: WantBlocks) -> None:
        try:
            if command.segmentation not in self.known_segmentations:
                await in_database(readings.require_segmentation_of_project)(
                    self.user, self.project_id, command.segmentation
                )
                self.known_segmentations.add(command.segmentation)
            self.outbox.use_window(command.window)
            self.stream.want(command.segmentation, command.level, command.blocks)
            blocks = [(command.level, row, col) for row, col in command.blocks]
            await sync_to_async(viewports.put, thread_sensitive=False)(
                self.channel_name, command.segmentation, blocks
            )
        except Exception as error:
            await self._reject(None, error)

    # ------------------------------------------------------------------------------------------------ hints

    async def edit_recorded(self, message: dict[str, Any]) -> None:
        self.teller.heard(message["number"])

    async def segmentation_grew(self, message: dict[str, Any]) -> None:
        progress = message["progress"]
        self.teller.note_progress(progress)
        if progress["state"] == "running":
            self.stream.grew(progress["segmentation"], message["blocks"])
        else:
            self.stream.look_again()
        self.completion.grew()

    async def segmentations_listed(self, message: dict[str, Any]) -> None:
        self.teller.note_list()
        self.stream.look_again()

    async def members_changed(self, message: dict[str, Any]) -> None:
        self.asks_role.set()

    async def notes_changed(self, message: dict[str, Any]) -> None:
        self.teller.note_change(message["what"])

    async def statistics_grew(self, message: dict[str, Any]) -> None:
        self.teller.note_statistics(message["segmentation"])

    # ------------------------------------------------------------------------------------------------ out

    async def _tell_news(self) -> None:
        try:
            await self.teller.run()
        except MissingError:
            await self.close(code=MISSING)

    async def _watch_members(self) -> None:
        """Not among the news, which wait for a slow browser: whoever was removed is gone at once."""
        while True:
            await self.asks_role.wait()
            self.asks_role.clear()
            try:
                listed = await in_database(readings.members)(self.user, self.project_id)
            except MissingError:
                await self.close(code=MISSING)
                return
            if listed.role != self.role:
                self.role = listed.role
                self.here.use_role(listed.role)
                self.teller.start_anew()
            self.teller.note_members(listed.members)

    async def _after_edits(self, edits: list[SharedEdit]) -> None:
        if any(edit.changes_leaves for edit in edits):
            await self._use_leaves()
        self.completion.look()

    async def _after_start(self) -> None:
        self.here.listen(self.outbox.put_presence)  # the others come after the first state
        await self._use_leaves()
        self.completion.start_anew()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            number, role = await self.room.standings.of(self, STANDING_AGE * HEARTBEAT_S)
            if role is None:
                await self.close(code=MISSING)
                return
            if role != self.role:  # the hint was lost
                self.asks_role.set()
            self.outbox.put_notice("heartbeat", event("heartbeat", {"number": number}))
            self.room.feed.stands_at(number)
            self.teller.heard(number)
            self.stream.look_again()
            if self.stream.segmentation:
                await sync_to_async(viewports.tell, thread_sensitive=False)(self.stream.segmentation)
            else:
                await in_database(viewports.watch)(self.room.scene_id)

    async def _use_leaves(self) -> None:
        self.splitter.use_leaves(await in_database(readings.leaves)(self.user, self.project_id))

    async def _reject(self, client_id: str | None, error: Exception) -> None:
        problem = describe(error)
        rejected = {"client_id": client_id, "code": problem.code, "message": problem.message}
        await self._send_event("command.rejected", rejected)

    async def _send_event(self, kind: str, payload: Any) -> None:
        if kind.endswith(".progress"):
            self.outbox.put_notice(f"{kind} {payload['client_id']}", event(kind, payload))
        else:
            self.outbox.put(event(kind, payload))

    async def _send_table(self, frame: bytes) -> None:
        self.outbox.put_table(frame)

    async def _write_text(self, text: str) -> None:
        await self.send(text_data=text)

    async def _write_bytes(self, frame: bytes) -> None:
        await self.send(bytes_data=frame)

    def _give_up(self) -> None:
        logger.warning("a browser at project %s does not read; its connection is closed", self.project_id)
        self._start(self.close(code=TOO_SLOW))

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

"""The daemon: builds everything, starts it in order, waits, and stops it in reverse order.

lock -> settings -> world files -> port -> engines -> live world -> sessions -> gateway -> warm-up -> discovery file
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import os
import signal
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mythicd import __version__
from mythicd.config.settings import Settings
from mythicd.errors import MythicError
from mythicd.paths import find
from mythicd.provisioning import engine_factory
from mythicd.provisioning.model_store import model_store
from mythicd.provisioning.profile_choice import choose
from mythicd.server.gateway import Gateway
from mythicd.server.listener import listen
from mythicd.wire import discovery
from mythicd.wire.discovery import Discovery, InstanceLock
from mythicd.world.hot_reload import WorldFiles
from mythicd.world.live_world import LiveWorld
from mythicd.world.sessions import Sessions

log = logging.getLogger(__name__)


class Daemon:
    """The daemon of one data dir."""

    def __init__(self, data: Path, overrides: Mapping[str, Any] | None = None) -> None:
        self.data = data
        self._overrides = dict(overrides or {})
        self._undo = contextlib.AsyncExitStack()
        self.settings: Settings
        self.gateway: Gateway
        self.world: LiveWorld

    async def start(self) -> Discovery:
        """Start everything; return the discovery entry. On a MythicError, everything is stopped again."""
        try:
            return await self._start()
        except BaseException:
            await self._undo.aclose()
            raise

    async def _start(self) -> Discovery:
        lock = InstanceLock(self.data)
        lock.acquire()
        self._undo.callback(lock.release)

        models = model_store(self.data)
        choice = choose(self.data, self._overrides, models)
        self.settings = choice.settings
        world_dir = find("worlds", self.settings.world, self.data)
        files = WorldFiles(world_dir)
        # Before the engines, which take long to load: a port that is taken is reported at once.
        listener = listen(self.settings.server.port, else_any="port" not in self._overrides.get("server", {}))
        self._undo.callback(listener.close)
        host = await asyncio.to_thread(engine_factory.build, self.settings, self.data, models)
        if choice.is_fallback:
            host.notices.insert(0, choice.reason)
        await host.start()
        self._undo.push_async_callback(host.stop)

        self.world = LiveWorld(files, host.engines(), self.settings, choice.reason, notices=host.notices)
        self._undo.push_async_callback(self.world.close)
        sessions = Sessions(self.world)
        self._undo.push_async_callback(sessions.close)
        self.gateway = Gateway(sessions, instance_id=str(uuid.uuid4()))
        await self.gateway.start(listener)
        self._undo.push_async_callback(self.gateway.stop)

        await self.world.warm()
        where = Discovery(
            instance_id=self.gateway.instance_id,
            pid=os.getpid(),
            started_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            version=__version__,
            port=self.gateway.port,
            token=self.gateway.token,
            profile_file=str(find("profiles", self.settings.profile, self.data).resolve()),
            world_dir=str(world_dir.resolve()),
        )
        discovery.publish(self.data, where)
        self._undo.callback(discovery.withdraw, self.data, where.instance_id)
        self.gateway.ready = True
        log.info("ready on 127.0.0.1:%d, world %s", where.port, self.settings.world)
        log.info("profile %s: %s", self.settings.profile, choice.reason)
        for notice in self.world.status().notices:
            log.warning("%s", notice)
        return where

    async def stop(self) -> None:
        """Stop everything that was started, in reverse order."""
        if hasattr(self, "gateway"):
            self.gateway.ready = False
        await self._undo.aclose()


async def run(data: Path, overrides: Mapping[str, Any]) -> int:
    """Run a daemon until SIGINT or SIGTERM; return the exit code. Raises MythicError when it cannot start."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # on Windows, loops have no signal handlers, and Ctrl+C raises
            loop.add_signal_handler(number, stopping.set)
    daemon = Daemon(data, overrides)
    await daemon.start()
    try:
        await stopping.wait()
    finally:
        log.info("stopping")
        try:
            await daemon.stop()
        except MythicError as error:
            log.error("error while stopping: %s", error)
    return 0

"""The HTTP server on loopback behind AWS_LAMBDA_RUNTIME_API: routes, and the record of every call."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from tests.sandbox import extensions_api, runtime_api, telemetry_api
from tests.sandbox.agents import State
from tests.sandbox.http1 import HEAD_BYTES, Answer, Request, json_answer, read_request, write_answer

if TYPE_CHECKING:
    from tests.sandbox.world import World

_NOT_FOUND = Answer(404, b"404 page not found\n", {"Content-Type": "text/plain; charset=utf-8"})
_EXTENSION_ROUTES = {
    "/register": ("POST", "register"),
    "/event/next": ("GET", "next"),
    "/init/error": ("POST", "init_error"),
    "/exit/error": ("POST", "exit_error"),
}


class Rapid:
    """Serves one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self) -> str:
        """Listen on a free loopback port and say which, as host:port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=HEAD_BYTES)
        return "127.0.0.1:" + str(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
        try:
            while request := await read_request(reader):
                answer = await self._answer(request)
                if answer.drop:
                    break
                await write_answer(writer, answer)
        except asyncio.CancelledError:
            # The environment this connection belonged to is gone.
            pass
        finally:
            if task is not None:
                self._connections.discard(task)
            with contextlib.suppress(RuntimeError):
                writer.close()

    async def _answer(self, request: Request) -> Answer:
        world = self._world
        if request.path.startswith(runtime_api.BASE):
            parts = request.path[len(runtime_api.BASE) + 1 :].split("/")
            # The request id in the middle of /invocation/ID/response is left out.
            api = f"runtime_{parts[0]}_{parts[-1]}"
            call = world.journal.received("runtime", api, request.body)
            if request.path.endswith(("/next", "/response", "/error")) and world.runtime is not None:
                # What the function printed before this call is logged before what the call brings about.
                world.runtime.output.drain()
            answer = await world.runtime_api.answer(request) or _NOT_FOUND
        elif request.path in telemetry_api.PATHS:
            call = world.journal.received(
                extensions_api.caller(world, request), telemetry_api.PATHS[request.path], request.body
            )
            answer = await self._allowed(request, "PUT") or await telemetry_api.subscribe(world, request)
        elif (route := _EXTENSION_ROUTES.get(request.path.removeprefix(extensions_api.BASE))) and (
            request.path.startswith(extensions_api.BASE)
        ):
            method, api = route
            call = world.journal.received(extensions_api.caller(world, request), api, request.body)
            answer = await self._allowed(request, method) or await self._extension(api, request)
        else:
            return _NOT_FOUND
        call.answered_s, call.status, call.answer = time.monotonic(), answer.status, answer.body
        return answer

    @staticmethod
    async def _allowed(request: Request, method: str) -> Answer | None:
        return None if request.method == method else Answer(405, headers={"Allow": method})

    async def _extension(self, api: str, request: Request) -> Answer:
        world = self._world
        if api == "register":
            return extensions_api.register(world, request)
        if api == "next":
            return await extensions_api.next_event(world, request)
        if api in ("init_error", "exit_error"):
            state = State.INIT_ERROR if api == "init_error" else State.EXIT_ERROR
            return extensions_api.report_error(world, request, state)
        return json_answer(500, {"errorMessage": api, "errorType": "InternalServerError"})

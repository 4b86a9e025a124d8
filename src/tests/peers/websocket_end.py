#!/usr/bin/env python3
"""Both ends of a WebSocket.

    websocket_end.py serve          prints its port, echoes whatever comes, ends with its standard input
    websocket_end.py talk URL       prints "open", sends and compares until its standard input ends; prints how often it did
    websocket_end.py watch URL COUNT FILE   writes what is no text of so many messages into a file, prints what is text,
                                            and says goodbye, which it wants answered
"""
import asyncio
import os
import sys

import websockets


async def stdin_ends():
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


async def serve():
    async def echo(socket):
        async for message in socket:
            await socket.send(message)

    async with websockets.serve(echo, "127.0.0.1", 0, max_size=1 << 22) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await stdin_ends()


async def talk(url):
    ended = asyncio.ensure_future(stdin_ends())
    async with websockets.connect(url, max_size=1 << 22, ping_interval=0.5) as socket:
        print("open", flush=True)
        count = 0
        while not ended.done():
            message = os.urandom(1 + count * 7919 % 100_000)
            await socket.send(message)
            assert await socket.recv() == message
            count += 1
        print(count, flush=True)


async def watch(url, count, path):
    with open(path, "wb") as file:
        async with websockets.connect(url, max_size=1 << 24, ping_interval=0.3, close_timeout=60) as socket:
            for _ in range(count):
                message = await socket.recv()
                if isinstance(message, str):
                    print(message, flush=True)
                else:
                    file.write(message)
            await (await socket.ping())
    assert socket.close_code == 1000, socket.close_code


if sys.argv[1] == "watch":
    asyncio.run(watch(sys.argv[2], int(sys.argv[3]), sys.argv[4]))
    sys.exit()
asyncio.run(serve() if sys.argv[1] == "serve" else talk(sys.argv[2]))

"""An agent for the telephony gateway: says back what it hears after a second, and hangs up when the caller presses #.

It speaks the gateway's own protocol, `pcm`: see docs/agent-protocol.md. README.md says how to run it.
"""

import argparse
import asyncio
import json
from collections import deque

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

DELAY_SECONDS = 1.0


async def talk(socket):
    """One call: the gateway connects once for each."""
    start = json.loads(await socket.recv())
    print(f"call {start.get('run_id')}: {start['direction']}, through {start['provider']}", flush=True)
    # The audio is 16-bit samples, so a second has twice as many bytes as samples.
    delay_bytes = 2 * int(start["sample_rate_hz"] * DELAY_SECONDS)
    waiting, waiting_bytes = deque(), 0
    async for message in socket:
        if isinstance(message, bytes):
            # The caller's voice, 20 ms at a time and also in silence: it is our clock.
            waiting.append(message)
            waiting_bytes += len(message)
            while waiting_bytes > delay_bytes:
                said = waiting.popleft()
                waiting_bytes -= len(said)
                await socket.send(said)
            continue
        event = json.loads(message)
        if event["event"] == "digit" and event["digit"] == "#":
            await socket.send(json.dumps({"event": "hang_up"}))
        elif event["event"] == "error":
            print(f"refused: {event['field']} {event['reason']}", flush=True)
        elif event["event"] == "stop":
            print(f"over: {event['reason']}", flush=True)
            return
        # There may be events that we do not know.


async def take_call(socket):
    try:
        await talk(socket)
    except ConnectionClosed:
        print("the gateway went away", flush=True)


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000)
    arguments = parser.parse_args()
    # Audio does not get smaller by compression, only later.
    async with serve(take_call, arguments.host, arguments.port, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        print(f"listening on ws://{arguments.host}:{port}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass

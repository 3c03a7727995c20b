#!/usr/bin/env python3
"""A plugin that sends back what it is sent. Start a switchboard, then

    python3 -m venv .venv && .venv/bin/pip install -r requirements.txt
    .venv/bin/python echo_plugin.py &
    echo hi | sbctl connect org.example.python.echo

It claims the name in the first argument, serves channels, and tells who comes and goes.
"""

import asyncio
import signal
import sys

import switchboard


async def echo(channel, offer):
    print("channel from", offer["peer"]["id"], flush=True)
    try:
        while data := await channel.read():
            channel.write(data)
            await channel.drain()
    except ConnectionError as err:
        print("channel cut:", err, flush=True)
        raise
    channel.close_write()  # the caller's half-close comes back as ours
    print("channel ended", flush=True)


async def main(name="org.example.python.echo"):
    bus = await switchboard.connect()
    await bus.serve(name, echo, info={"description": "echo in Python", "protocol": "bytes"})
    print("listening as", name, flush=True)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: loop.create_task(bus.close()))
    try:
        async for event in bus.watch():
            owner = event.get("entry") or event.get("was") or {}
            print(event["type"], event.get("name", ""), owner.get("id", ""), flush=True)
    except (ConnectionError, switchboard.Error) as err:
        print("the watch ended:", err, flush=True)


asyncio.run(main(*sys.argv[1:2]))

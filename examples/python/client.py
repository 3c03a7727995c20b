#!/usr/bin/env python3
"""A client: lists the names, watches until the wanted one is there, opens a channel to it,
says something, half-closes, and prints what comes back.

    python client.py [NAME [TEXT]]
"""

import asyncio
import sys

import switchboard


async def main(name="org.example.python.echo", words="hello"):
    bus = await switchboard.connect()
    me = await bus.call("whoami")
    print(f"I am {me['id']}, session {me['session']}")

    for entry in (await bus.call("names.list"))["names"]:
        print(f"{entry['name']} is {entry['id']} over {entry['transport']}")

    async for event in bus.watch(name):
        if event["type"] == "synced":
            print("waiting for", name, flush=True)
        if "entry" in event:  # connected, moved or updated: it is there
            break

    channel = await bus.open(name, meta={"language": "Python"})
    print("talking to", channel.answer["peer"]["id"])
    channel.write(words.encode())
    channel.close_write()  # the half-close
    answer = b""
    while data := await channel.read():
        answer += data
    print("answer:", answer.decode())
    await bus.close()


asyncio.run(main(*sys.argv[1:3]))

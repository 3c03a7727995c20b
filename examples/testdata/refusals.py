"""Checks what the library says no to, and how: python refusals.py NAME TAKEN OPTIONS...

NAME echoes, TAKEN has an owner, OPTIONS are of open(), each with one that the library does not do.
"""

import asyncio
import json
import sys

sys.path.insert(0, "../python")
import switchboard  # noqa: E402


async def refused(coroutine, code):
    try:
        await coroutine
    except switchboard.Error as err:
        assert err.code == code, f"{err}, want {code}"
    else:
        raise AssertionError(f"no error, want {code}")


async def main(name, taken, *all_options):
    bus = await switchboard.connect()
    for options in all_options:
        await refused(bus.open(name, **json.loads(options)), "not_supported")

    # An option that asks for nothing is none.
    channel = await bus.open(name, sealed=False, require=False, direct=[], meta={"a": 1})
    channel.write(b"hello")
    channel.close_write()
    assert await channel.read_exactly(5) == b"hello" and await channel.read() == b""

    await refused(bus.call("names.get", name="nobody.here"), "not_found")
    await refused(bus.open("nobody.here"), "not_found")
    await refused(bus.serve(taken, None), "name_taken")
    assert not bus.handlers.get(taken), "a claim that failed leaves a handler behind"
    await bus.close()
    print("all refused")


asyncio.run(main(*sys.argv[1:]))

"""Checks handshake and box stream against the vector of PROTOCOL.md section 9: python test_vector.py"""

import asyncio
import hashlib
import pathlib
import re
import unittest

from nacl import bindings as sodium
from nacl.signing import SigningKey

import switchboard

TEXT = (pathlib.Path(__file__).parents[2] / "PROTOCOL.md").read_text()
VECTOR = {name: bytes.fromhex(value) for name, value in re.findall(r'^(\S+) +([0-9a-f]{64,})$', TEXT, re.MULTILINE)}


def sha256(text):
    return hashlib.sha256(text.encode()).digest()


class Writer:
    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += data


class Vector(unittest.IsolatedAsyncioTestCase):
    async def test(self):
        ephemeral = hashlib.sha512(sha256("eph-alice")).digest()[:32]
        reader, writer = asyncio.StreamReader(), Writer()
        reader.feed_data(VECTOR["msg2"] + VECTOR["msg4"])
        keys = await switchboard.handshake(
            reader, writer, SigningKey(sha256("alice")), bytes(SigningKey(sha256("bob")).verify_key),
            sha256("appkey"), ephemeral)
        self.assertEqual(writer.data, VECTOR["msg1"] + VECTOR["msg3"])
        self.assertEqual(keys[0], (VECTOR["client→server"], VECTOR["msg2"][:24]))
        self.assertEqual(keys[1], (VECTOR["server→client"], VECTOR["msg1"][:24]))

        boxes = switchboard.Boxes(keys)
        stream = boxes.seal(b"hello")
        self.assertEqual(stream, VECTOR['"hello"'])
        for size in (4096, 1):
            stream += boxes.seal(b"\7" * size)
        stream += boxes.seal(b"")
        self.assertEqual(hashlib.sha256(stream).hexdigest(),
                         "4a32708e830da2ca3b6c05e8893936a0219ff0f7351dd119069f20f15361a345")

        reader.feed_data(stream)  # and back again
        back = switchboard.Boxes(keys[::-1])
        self.assertEqual([await back.open(reader) for _ in range(4)], [b"hello", b"\7" * 4096, b"\7", b""])

    def test_weak_server_key_is_refused(self):
        with self.assertRaises(Exception):
            sodium.crypto_sign_ed25519_pk_to_curve25519(bytes([1]) + bytes(31))


if __name__ == "__main__":
    unittest.main()

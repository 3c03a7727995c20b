"""A peer of a switchboard in Python: PyNaCl for the cryptography, asyncio for the rest.

PROTOCOL.md at the top of the repository is the contract; section numbers point there.

    bus = await connect()                        # logs in; see find_address, find_key
    await bus.call("whoami")                     # any async call of section 5
    await bus.serve(name, handler, info={...})   # claims a name; handler(channel, offer) gets each channel
    async for event in bus.watch("org.**"): ...  # who comes and goes
    channel = await bus.open(name)               # a channel to the owner of a name
    await bus.close()

A channel is a Lane: read() gives bytes, b"" after the other end's half-close, and raises ConnectionError
when the channel was cut; write() and drain() send; close_write() is our half-close; abort() cuts it.

Channels here are neither sealed nor direct: open() refuses such options, and serve() sealed channels. Each
lane is a connection of its own (no yamux). On a Unix socket the mode is plain, on TCP box. When the server has
gone, calls and watches raise; connect again.

PyPI's secret-handshake 0.1.0.dev3 still logs in, but it pins a PyNaCl that no longer builds and reads a cut
like an end, so the handshake is written out here.
"""

import asyncio, base64, hashlib, hmac, itertools, json, os, pathlib, re, socket, struct  # noqa: E401

from nacl import bindings as sodium
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey

NETWORK_KEY = hashlib.sha256(b"switchboard/1").digest()
JSON, END, STREAM = 2, 4, 8  # packet flags
MAX_BODY = 1 << 20           # the largest body that a server sends
OPEN_OPTIONS = {"key", "epoch", "meta", "timeout_ms"}  # of connect (section 6), those we can do


class Error(Exception):
    """An error answer: code for programs, message for people."""

    def __init__(self, answer):
        self.code, self.message = str(answer.get("name")), str(answer.get("message"))
        super().__init__(f"{self.code}: {self.message}")


# Section 2: Secret Handshake, the client's side.

def _hmac(key, text):
    return hmac.new(key, text, "sha512").digest()[:32]


def _sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def _curve(public):
    """An Ed25519 key as X25519; libsodium refuses weak ones."""
    return sodium.crypto_sign_ed25519_pk_to_curve25519(public)


async def handshake(reader, writer, key, server, network, ephemeral=None):
    """Messages 1 to 4. Returns (key, nonce) of our boxes and of the server's."""
    a_secret = ephemeral or os.urandom(32)
    a = sodium.crypto_scalarmult_base(a_secret)
    hello = _hmac(network, a) + a
    writer.write(hello)
    answer = await reader.readexactly(64)
    b = answer[32:]
    if not hmac.compare_digest(answer[:32], _hmac(network, b)):
        raise ConnectionError("the server has another network key")
    ab, aB = sodium.crypto_scalarmult(a_secret, b), sodium.crypto_scalarmult(a_secret, _curve(server))
    public = bytes(key.verify_key)
    proof = key.sign(network + server + _sha256(ab)).signature + public
    zero = bytes(24)
    writer.write(sodium.crypto_secretbox_easy(proof, zero, _sha256(network, ab, aB)))
    try:
        boxed = await reader.readexactly(80)
    except (asyncio.IncompleteReadError, ConnectionError) as err:
        raise ConnectionError("the server refused: check its key, the network key, and authorized_peers") from err
    own = sodium.crypto_sign_ed25519_sk_to_curve25519(bytes(key) + public)
    k = _sha256(network, ab, aB, sodium.crypto_scalarmult(own, b))
    signature = sodium.crypto_secretbox_open_easy(boxed, zero, k)
    sodium.crypto_sign_open(signature + network + proof + _sha256(ab), server)
    s = _sha256(k)
    return (_sha256(s, server), answer[:24]), (_sha256(s, public), hello[:24])


class Boxes:
    """The box stream, both ways: packets of at most 4,096 bytes and a goodbye."""

    size = 4096

    def __init__(self, keys):
        (self.out_key, out), (self.in_key, inward) = keys
        self.out, self.inward = int.from_bytes(out, "big"), int.from_bytes(inward, "big")

    @staticmethod
    def _nonce(n):
        return (n % (1 << 192)).to_bytes(24, "big")

    def seal(self, data):
        """One packet; without data the goodbye."""
        if not data:
            return sodium.crypto_secretbox_easy(bytes(18), self._nonce(self.out), self.out_key)
        body = sodium.crypto_secretbox_easy(data, self._nonce(self.out + 1), self.out_key)
        head = struct.pack(">H", len(data)) + body[:16]
        head = sodium.crypto_secretbox_easy(head, self._nonce(self.out), self.out_key)
        self.out += 2
        return head + body[16:]

    async def open(self, reader):
        """The next packet; b"" is the goodbye."""
        head = await reader.readexactly(34)
        head = sodium.crypto_secretbox_open_easy(head, self._nonce(self.inward), self.in_key)
        if head == bytes(18):
            return b""
        body = head[2:] + await reader.readexactly(int.from_bytes(head[:2], "big"))
        body = sodium.crypto_secretbox_open_easy(body, self._nonce(self.inward + 1), self.in_key)
        self.inward += 2
        return body or await self.open(reader)


class Chunks:
    """Plain mode: length and bytes; length 0 is the goodbye."""

    size = 1 << 16

    def __init__(self, _keys):
        self.left = 0

    def seal(self, data):
        return struct.pack(">I", len(data)) + data

    async def open(self, reader):
        self.left = self.left or int.from_bytes(await reader.readexactly(4), "big")
        if not self.left:
            return b""
        data = await reader.read(min(self.left, self.size))
        if not data:
            raise asyncio.IncompleteReadError(b"", self.left)
        self.left -= len(data)
        return data


class Lane:
    """One authenticated connection: a control lane's bytes, or a channel's."""

    def __init__(self, reader, writer, form):
        self.reader, self.writer, self.form = reader, writer, form
        self.buffer, self.ended, self.said_goodbye = b"", False, False

    async def read(self):
        """Some bytes; b"" once the other end has half-closed."""
        data, self.buffer = self.buffer, b""
        if data or self.ended:
            return data
        try:
            data = await self.form.open(self.reader)
        except (asyncio.IncompleteReadError, CryptoError) as err:
            raise ConnectionError("cut without a goodbye") from err
        if not data:
            self.ended = True
            self._close_if_over()
        return data

    async def read_exactly(self, n):
        data = b""
        while len(data) < n:
            more = await self.read()
            if not more:
                raise EOFError("the lane ended")
            data += more
        data, self.buffer = data[:n], data[n:]
        return data

    def write(self, data):
        for at in range(0, len(data), self.form.size):
            self.writer.write(self.form.seal(data[at:at + self.form.size]))

    async def drain(self):
        await self.writer.drain()

    def close_write(self):
        if not self.said_goodbye:
            self.said_goodbye = True
            self.writer.write(self.form.seal(b""))
            self._close_if_over()

    def abort(self):
        self.writer.transport.abort()

    def _close_if_over(self):
        if self.ended and self.said_goodbye:
            self.writer.close()

    # Section 4: packets.

    def write_packet(self, flags, req, value):
        body = json.dumps(value).encode()
        self.write(struct.pack(">BIi", flags, len(body), req))  # header and body are boxes of their own
        self.write(body)

    async def read_packet(self):
        """(flags, request, value), or None after the goodbye."""
        flags, length, req = struct.unpack(">BIi", await self.read_exactly(9))
        if length > MAX_BODY:
            raise ConnectionError("the packet is too large")
        if not length:
            return None if flags == req == 0 else (flags, req, None)
        return flags, req, json.loads(await self.read_exactly(length))


async def dial(address, key, network=NETWORK_KEY):
    """Connects to the first address that answers, and logs in. Returns a Lane."""
    failed = ValueError(f"{address}: no address that this program understands")
    for one in address.split(";"):
        where, _, server = one.partition("~shs:")
        kind, _, place = where.partition(":")
        try:
            if kind == "unix":
                reader, writer = await asyncio.open_unix_connection(re.sub("!(.)", r"\1", place))
            elif kind == "net":
                host, _, port = place.rpartition(":")
                reader, writer = await asyncio.open_connection(host or "localhost", int(port))
            else:
                continue
            form, purpose = Boxes, network
            if kind == "unix" and hasattr(socket, "SO_PEERCRED"):  # plain mode has a key of its own
                creds = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
                uids = struct.pack(">II", os.geteuid(), struct.unpack("iII", creds)[1])
                form, purpose = Chunks, _hmac(network, b"switchboard/1/plain\0" + uids)
            shaking = handshake(reader, writer, key, base64.b64decode(server), purpose)
            try:
                return Lane(reader, writer, form(await asyncio.wait_for(shaking, 5)))
            except BaseException:
                writer.transport.abort()
                raise
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, CryptoError) as err:
            failed = err
    raise ConnectionError(f"{address}: {failed}") from failed


class Bus:
    """The control lane, and what is built on it."""

    def __init__(self, lane, open_lane):
        self.lane, self.open_lane = lane, open_lane
        self.numbers = itertools.count(1)
        self.waiting = {}   # request number: Future of an answer, or Queue of a source
        self.handlers = {}  # name: handler(channel, offer)
        self.tasks = set()
        self.reading = asyncio.create_task(self._read())

    def _send(self, req, method, args, kind):
        self.lane.write_packet(JSON | (STREAM if kind == "source" else 0), req,
                               {"name": method.split("."), "args": args, "type": kind})

    async def call(self, method, **args):
        """An async call; raises Error."""
        req = next(self.numbers)
        answer = self.waiting[req] = asyncio.get_running_loop().create_future()
        self._send(req, method, [args] if args else [], "async")
        return await answer

    async def watch(self, match="**"):
        """The events of names.watch: all present names, "synced", then changes."""
        req, queue = next(self.numbers), asyncio.Queue()
        self.waiting[req] = queue
        self._send(req, "names.watch", [{"match": match}], "source")
        try:
            while (item := await queue.get()) is not True:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            if self.waiting.pop(req, None) and not self.lane.said_goodbye:
                self.lane.write_packet(STREAM | END | JSON, req, True)

    async def serve(self, name, handler, **claim):
        """Claims a name; handler(channel, offer) runs as a task for each channel."""
        before, self.handlers[name] = self.handlers.get(name), handler  # before watchers hear of the name
        try:
            return await self.call("names.claim", name=name, **claim)
        except BaseException:
            self.handlers[name] = before  # None takes no channels
            raise

    async def open(self, to, **options):
        """A channel to a name or session; options are OPEN_OPTIONS, any other raises not_supported."""
        for option, value in options.items():
            if value and option not in OPEN_OPTIONS:  # what it promises, such as a seal, would not be kept
                raise Error({"name": "not_supported", "message": f"the option {option} is not supported here"})
        return await self._ask("connect", to=to, **options)

    async def _ask(self, method, **args):
        lane = await self.open_lane()
        lane.write_packet(STREAM | JSON, 1, {"name": [method], "args": [args], "type": "duplex"})
        flags, _, lane.answer = await lane.read_packet()
        if flags & END:
            lane.close_write()
            lane.writer.close()
            raise Error(lane.answer)
        return lane

    async def _read(self):
        """Gives each packet to whom it is for, until the lane ends."""
        failed = ConnectionError("the server has gone")
        try:
            while packet := await self.lane.read_packet():
                flags, req, value = packet
                if req > 0:
                    self._called(flags, req, value)
                elif waiting := self.waiting.get(-req):
                    done = isinstance(waiting, asyncio.Future) or flags & END
                    if done:
                        del self.waiting[-req]
                    if isinstance(waiting, asyncio.Queue):
                        if done:  # each side ends a stream once
                            self.lane.write_packet(STREAM | END | JSON, -req, True)
                        waiting.put_nowait(Error(value) if flags & END and value is not True else value)
                    elif not waiting.done():
                        waiting.set_exception(Error(value)) if flags & END else waiting.set_result(value)
            self.lane.writer.write(self.lane.form.seal(bytes(9)))  # goodbye to the goodbye
        except (EOFError, OSError) as err:
            failed = err
        for waiting in self.waiting.values():
            if isinstance(waiting, asyncio.Queue):
                waiting.put_nowait(failed)
            elif not waiting.done():
                waiting.set_exception(failed)
        self.waiting.clear()
        self.lane.close_write()

    def _called(self, flags, req, value):
        """A call of the server: an offer, or why a channel is about to end."""
        if flags & (STREAM | END):
            return
        name = ".".join(value["name"]) if isinstance(value["name"], list) else value["name"]
        if name == "channel.close":
            return self.lane.write_packet(JSON, -req, True)
        offer = value["args"][0] if value["args"] else {}
        handler = self.handlers.get(offer.get("name")) if name == "offer" else None
        if not handler or offer.get("sealed"):
            why = "sealed channels are not supported here" if handler else "no such method or name here"
            return self.lane.write_packet(END | JSON, -req, {"name": "refused", "message": why, "stack": ""})
        self.lane.write_packet(JSON, -req, {})  # I come
        task = asyncio.create_task(self._come(handler, offer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _come(self, handler, offer):
        try:
            lane = await self._ask("accept", channel=offer["channel"], token=offer["token"])
        except (Error, OSError, EOFError):
            return  # the caller gave up
        try:
            await handler(lane, offer)
            lane.close_write()
            while await lane.read():
                pass  # to its end, which closes the connection
        except BaseException as err:
            lane.abort()
            if not isinstance(err, ConnectionError):  # which is a caller that cut it
                raise

    async def close(self):
        """Ends the control lane in good order; channels go on."""
        self.lane.write(bytes(9))
        try:
            await asyncio.wait_for(self.reading, 5)
        except asyncio.TimeoutError:
            self.lane.abort()


async def connect(address=None, key=None, network=NETWORK_KEY):
    address, key = address or find_address(), key or find_key()
    return Bus(await dial(address, key, network), lambda: dial(address, key, network))


def find_key():
    """The key file named by SWITCHBOARD_KEY (sbctl key new makes one), else a key for this run only."""
    path = os.environ.get("SWITCHBOARD_KEY")
    if not path:
        return SigningKey.generate()
    text = re.sub(r"\s*#[^\n]*", "", pathlib.Path(path).read_text())
    return SigningKey(base64.b64decode(json.loads(text)["private"].removesuffix(".ed25519"))[:32])


def find_address():
    """SWITCHBOARD_ADDRESS, else the file that the server wrote beside its default socket."""
    env = os.environ
    if env.get("SWITCHBOARD_ADDRESS"):
        return env["SWITCHBOARD_ADDRESS"]
    folder = "/run" if os.geteuid() == 0 else (
        env.get("XDG_RUNTIME_DIR") or env.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"))
    file = pathlib.Path(folder, "switchboard", "address")
    if not file.exists():
        raise FileNotFoundError(f"{file} is not there: is the server running? SWITCHBOARD_ADDRESS can name another")
    for path in (file, file.parent):  # it says which server to trust
        stat = path.stat()
        if stat.st_uid not in (0, os.geteuid()) or stat.st_mode & 0o022:
            raise PermissionError(f"{path}: others may write it, so it is not used")
    return file.read_text().strip()

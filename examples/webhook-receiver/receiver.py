#!/usr/bin/env python3
"""A webhook receiver for Gatepass: gives access to a deploy service by bearer tokens.

    receiver.py --secret-file FILE --store FILE [--listen HOST:PORT] [--certificate FILE --key FILE]

What it shows: checking a Standard Webhooks signature and the replay window, and the three verbs, each of which may be
called twice, be interrupted, and come from several connections at once. The accesses are kept in one JSON file:

    {"accesses": {"<grant>": {"handle", "grants", "until", "token_sha256"}},
     "standing": [{"name", "grants"}]}

What stands under "standing" is access that somebody gave by hand. It is told to Gatepass and never touched.
Python 3.9 or later, nothing else.
"""

import argparse
import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import signal
import ssl
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = 1
REPLAY_WINDOW = 5 * 60  # seconds that the sender's clock and ours may differ
LONGEST = 64 * 1024


class Refusal(Exception):
    """What is answered instead: an HTTP status, a kind that Gatepass knows, and a sentence for people."""

    def __init__(self, status, kind, message):
        super().__init__(message)
        self.status, self.kind = status, kind

    def answer(self):
        return {"ok": False, "error": {"kind": self.kind, "message": str(self)}}


class Store:
    """The accesses, in one file. A change is on the disk before it is answered."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()

    def read(self):
        try:
            with open(self.path, encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return {"accesses": {}, "standing": []}

    def write(self, state):
        new = f"{self.path}.new"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(state, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)
        folder = os.open(os.path.dirname(os.path.abspath(self.path)), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Calls:
    """Answers already given, for as long as their message could come again.

    The same id is the same call: whoever sends it again, because the answer was lost or with a recorded message, gets
    the same answer, and nothing is done twice. What a process before this one answered is not known here, so messages
    from before its start are not taken; the sender signs them anew."""

    def __init__(self):
        self.started = int(time.time())
        self.answers = {}

    def known(self, message_id, timestamp):
        now = time.time()
        self.answers = {i: kept for i, kept in self.answers.items() if kept[0] > now}
        if message_id in self.answers:
            return self.answers[message_id][1]
        if timestamp < self.started:
            raise Refusal(503, "unreachable", "the receiver has just started; send it again")
        return None

    def keep(self, message_id, answer):
        self.answers[message_id] = (time.time() + 2 * REPLAY_WINDOW, answer)


def read_secrets(path):
    """One secret per line: the new one beside the old one while they are changed."""
    with open(path, encoding="utf-8") as file:
        lines = [line.strip() for line in file if line.strip()]
    return [base64.b64decode(line.removeprefix("whsec_") + "==") for line in lines]


def verify(keys, headers, body):
    """The message's id and time, when one of the signatures is by one of our keys."""
    message_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    try:
        timestamp = int(stamp)
    except ValueError:
        raise Refusal(401, "configuration", "the call is not signed") from None
    if abs(time.time() - timestamp) > REPLAY_WINDOW:
        raise Refusal(401, "configuration", "the call is too old or too new; are both clocks right?")
    signed = f"{message_id}.{stamp}.".encode() + body
    ours = [hmac.new(key, signed, hashlib.sha256).digest() for key in keys]
    good = False
    for part in headers.get("webhook-signature", "").split():
        version, _, value = part.partition(",")
        if version != "v1":
            continue
        try:
            theirs = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            continue
        for mine in ours:
            good |= hmac.compare_digest(mine, theirs)
    if not message_id or not good:
        raise Refusal(401, "configuration", "the signature is not by our secret")
    return message_id, timestamp


# The verbs. Each gets the question and the state, and may change the state.


def provision(asked, state):
    grant = str(uuid.UUID(asked["grant"]))
    token = secrets.token_urlsafe(32)
    # Again: still one access, with a new token and the end as given last.
    state["accesses"][grant] = {
        "handle": asked["person"]["handle"],
        "grants": asked["grants"],
        "until": asked["until"],
        # Whoever reads the file gets no token out of it.
        "token_sha256": hashlib.sha256(token.encode()).hexdigest(),
    }
    return {"ok": True, "details": {"url": "https://deploys.example.com/", "token": token}}


def remove(asked, state):
    state["accesses"].pop(str(uuid.UUID(asked["grant"])), None)
    # The state is written before this is answered, and the service looks there at every request: no session is left.
    return {"ok": True, "removed": True, "sessions_ended": 0}


def inspect(asked, state):
    accesses = [
        {"grant": grant, "name": access["handle"], "until": access["until"], "sessions": 0}
        for grant, access in sorted(state["accesses"].items())
    ]
    wanted = set(asked.get("grants", []))
    strangers = [who for who in state["standing"] if wanted & set(who["grants"])]
    return {"ok": True, "accesses": accesses, "strangers": strangers}


VERBS = {"provision": provision, "remove": remove, "inspect": inspect}


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    keys, store, calls = [], None, None

    def do_POST(self):
        try:
            status, answer = 200, self.call()
        except Refusal as refusal:
            status, answer = refusal.status, refusal.answer()
        except (KeyError, TypeError, ValueError):
            status, answer = 400, Refusal(400, "refused", "the question is not understood").answer()
        except OSError as error:
            print(f"cannot keep the accesses: {error}", file=sys.stderr)
            status, answer = 503, Refusal(503, "unreachable", "the accesses cannot be kept").answer()
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def call(self):
        length = int(self.headers.get("content-length", "-1"))
        if not 0 <= length <= LONGEST:
            self.close_connection = True
            raise Refusal(413, "refused", "the question is too long")
        body = self.rfile.read(length)
        message_id, timestamp = verify(self.keys, self.headers, body)
        asked = json.loads(body)
        if asked["version"] != VERSION:
            raise Refusal(400, "configuration", f"this receiver knows version {VERSION} only")
        if asked["verb"] not in VERBS:
            raise Refusal(400, "configuration", f"there is no verb {asked['verb']!r}")
        # One call at a time: so a removal never meets a provision half way.
        with self.store.lock:
            answer = self.calls.known(message_id, timestamp)
            if answer is None:
                state = self.store.read()
                before = json.dumps(state)
                answer = VERBS[asked["verb"]](asked, state)
                if json.dumps(state) != before:
                    self.store.write(state)
                self.calls.keep(message_id, answer)
        return answer

    def log_message(self, format, *args):
        # The request line has the path only; bodies, which have the tokens, are never logged.
        print(f"{self.address_string()} {format % args}", file=sys.stderr)


def main():
    arguments = argparse.ArgumentParser(description="A webhook receiver for Gatepass.")
    arguments.add_argument("--secret-file", required=True, help="one whsec_… secret per line")
    arguments.add_argument("--store", required=True, help="where the accesses are kept")
    arguments.add_argument("--listen", default="127.0.0.1:7421", help="HOST:PORT; port 0 takes a free one")
    arguments.add_argument("--certificate", help="PEM; with --key, HTTPS is spoken")
    arguments.add_argument("--key", help="PEM")
    given = arguments.parse_args()

    Receiver.keys, Receiver.store, Receiver.calls = read_secrets(given.secret_file), Store(given.store), Calls()
    host, _, port = given.listen.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), Receiver)
    server.daemon_threads = True
    scheme = "http"
    if given.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given.certificate, given.key)
        # The handshake is made by each connection's own thread, so that nobody holds up the others.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        scheme = "https"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"listening on {scheme}://{host}:{server.server_address[1]}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()

"""Checks a bundle (`verify.py FILE`), or the folder of vectors (`verify.py --vectors FOLDER`), as docs/log-format.md says
it, with nothing of Gatepass: Python's library, and `cryptography` for Ed25519. It checks the key, the checkpoint, the
proofs, the canonical form, the texts and the signatures of commands; who was entitled to what it does not look at."""

import base64
import hashlib
import json
import pathlib
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Wrong(Exception):
    pass


def need(holds, what):
    if not holds:
        raise Wrong(what)


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def b64(text):
    return base64.b64decode(text, validate=True)


def signed_by(key, signature, message):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        return True
    except InvalidSignature:
        return False


def jcs(value):
    """RFC 8785 for what events hold: no fractions."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(jcs(name) + ":" + jcs(value[name]) for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(jcs, value)) + "]"
    need(not isinstance(value, float), "event")
    return json.dumps(value, ensure_ascii=False)


def checkpoint(vkey, note):
    origin, key_id, key = vkey.split("+", 2)
    key = b64(key)
    need(key[0] == 1 and sha(origin.encode(), b"\n", key)[:4].hex() == key_id, "checkpoint")
    text, signatures = note.rsplit("\n\n", 1)
    text += "\n"
    lines = text.split("\n")
    need(lines[0] == origin, "checkpoint")
    for line in signatures.splitlines():
        dash, name, signature = line.split(" ")
        signature = b64(signature)
        if name == origin and signature[:4].hex() == key_id:
            need(signed_by(key[1:], signature[4:], text.encode()), "checkpoint")
            return int(lines[1]), b64(lines[2])
    raise Wrong("checkpoint")


def root_by_inclusion(proof, index, size, leaf):
    """RFC 9162, section 2.1.3.2."""
    need(index < size, "inclusion")
    fn, sn, node = index, size - 1, leaf
    for sibling in proof:
        need(sn > 0, "inclusion")
        if fn & 1 or fn == sn:
            node = sha(b"\x01", sibling, node)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = sha(b"\x01", node, sibling)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0, "inclusion")
    return node


def consistent(proof, old, old_root, new, new_root):
    """RFC 9162, section 2.1.4.2."""
    if old == new:
        return not proof and old_root == new_root
    if old & (old - 1) == 0:
        proof = [old_root, *proof]
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = proof[0]
    for node in proof[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            first, second = sha(b"\x01", node, first), sha(b"\x01", node, second)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = sha(b"\x01", second, node)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and first == old_root and second == new_root


def bundle(text):
    """`holds`, or the name of what does not and where."""
    file = json.loads(text)
    try:
        size, root = checkpoint(file["vkey"], file["checkpoint"])
    except Wrong as wrong:
        return str(wrong)
    texts = {sha(b64(t["salt"]), t["text"].encode()).hex(): t["text"] for t in file.get("texts", [])}
    last, devices = 0, {}
    for entry in file["events"]:
        seq, leaf = entry["seq"], b64(entry["leaf"])
        try:
            proof = [b64(hash) for hash in entry["proof"]]
            need(root_by_inclusion(proof, seq - 1, size, sha(b"\x00", leaf)) == root, "inclusion")
            need(seq > last, "order")
            last = seq
            event = json.loads(leaf)
            need(jcs(event).encode() == leaf, "event")
            if event["kind"] == "catalogue.published" and event.get("document") in texts:
                document = texts[event["document"]].encode()
                need(sha(document).hex() == event["catalogue"], "catalogue")
            if event["kind"] == "device.disabled":
                devices.pop(event["device"], None)
            if event["kind"] == "device.enrolled":
                devices[event["device"]] = event["signing_key"]
            if "command" in event:
                body = event["command"]["body"]
                message = f"gatepass/v1 {body['kind']}\n".encode() + jcs(body).encode()
                need(body["device"] in devices, "device")
                key = b64(devices[body["device"]])
                need(signed_by(key, b64(event["command"]["signature"]), message), "signature")
        except Wrong as wrong:
            return f"{wrong} at {seq}"
    return "holds"


def vectors(folder):
    log = json.loads((folder / "log.json").read_text("utf-8"))
    unhex = bytes.fromhex
    heads = [(0, unhex(log["empty_root"]))]
    for event in log["events"]:
        content = event["content"].encode()
        assert jcs(json.loads(content)).encode() == content and sha(b"\x00", content).hex() == event["leaf"]
        heads.append((event["seq"], unhex(event["root"])))
    for row in log["inclusion"]:
        leaf = unhex(log["events"][row["seq"] - 1]["leaf"])
        made = root_by_inclusion([unhex(h) for h in row["proof"]], row["seq"] - 1, row["size"], leaf)
        assert made == heads[row["size"]][1], row
    for row in log["consistency"]:
        assert consistent([unhex(h) for h in row["proof"]], *heads[row["old"]], *heads[row["new"]]), row
    for row in log["checkpoints"]:
        assert checkpoint(log["vkey"], row["note"]) == heads[row["size"]]
    for row in log["texts"]:
        assert sha(b64(row["salt"]), row["text"].encode()).hex() == row["digest"]
    keys = {row["device"]: b64(row["signing_key"]) for row in log["devices"]}
    for row in log["signatures"]:
        assert signed_by(keys[row["device"]], b64(row["signature"]), row["signed"].encode())
    # What this program does not look at needs the rules; it must not find anything else there.
    mine = {"holds", "checkpoint", "inclusion", "order", "event", "catalogue", "device", "signature"}
    for name, expected in json.loads((folder / "bundles.json").read_text("utf-8")).items():
        said = bundle((folder / name).read_text("utf-8"))
        wanted = expected if expected.split(" ")[0] in mine else "holds"
        assert said == wanted, f"{name}: {said}, not {wanted}"
    print(f"verify.py: {len(log['events'])} events, {len(log['signatures'])} signatures")


if __name__ == "__main__":
    if sys.argv[1] == "--vectors":
        vectors(pathlib.Path(sys.argv[2]))
    else:
        verdict = bundle(pathlib.Path(sys.argv[1]).read_text("utf-8"))
        print(verdict)
        sys.exit(verdict != "holds")

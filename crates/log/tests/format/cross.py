"""Compares what Gatepass made with pymerkle (`tree log.json`) and rfc8785 (`json rows.json`)."""

import json
import sys


def tree(path):
    from pymerkle import InmemoryTree, InvalidProof, verify_consistency

    log = json.load(open(path, encoding="utf-8"))
    ours = InmemoryTree(algorithm="sha256")
    assert ours.get_root(0).hex() == log["empty_root"]
    for event in log["events"]:
        index = ours.append_entry(event["content"].encode())
        assert index == event["seq"]
        assert ours.get_leaf(index).hex() == event["leaf"], event["seq"]
        assert ours.get_root().hex() == event["root"], event["seq"]
    for row in log["inclusion"]:
        # The first hash of its path is the leaf's own.
        path = ours.prove_inclusion(row["seq"], row["size"]).path[1:]
        assert [h.hex() for h in path] == row["proof"], row
    for row in log["consistency"]:
        # Its proofs are made of other nodes than RFC 6962's (ct-merkle compares those); what they prove is the same.
        old, new = (bytes.fromhex(log["events"][row[size] - 1]["root"]) for size in ("old", "new"))
        proof = ours.prove_consistency(row["old"], row["new"])
        verify_consistency(old, new, proof, prior_size=row["old"], later_size=row["new"])
        try:
            verify_consistency(bytes(32), new, proof)
        except InvalidProof:
            continue
        raise AssertionError("another root was taken")
    counted = InmemoryTree(algorithm="sha256")
    roots = {row["size"]: row["root"] for row in log["counted"]}
    for n in range(max(roots)):
        counted.append_entry(str(n).encode())
        if n + 1 in roots:
            assert counted.get_root().hex() == roots[n + 1], n + 1
    print(f"pymerkle: {len(log['events'])} roots, {len(log['inclusion'])} + {len(log['consistency'])} proofs")


def canonical(path):
    import rfc8785

    rows = json.load(open(path, encoding="utf-8"))
    for text, ours in rows:
        assert rfc8785.dumps(json.loads(text)) == ours.encode(), text
    print(f"rfc8785: {len(rows)} documents")


{"tree": tree, "json": canonical}[sys.argv[1]](sys.argv[2])

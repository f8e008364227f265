"""Speaks JSON Lines: counts the bytes of each file that are zero."""
import json
import sys

for line in sys.stdin:
    question = json.loads(line)
    answer = {"id": question["id"]}
    try:
        with open(question["file"], "rb") as f:
            answer["meta"] = {"zeros": sum(block.count(0) for block in iter(lambda: f.read(1 << 20), b""))}
    except OSError as error:
        answer["error"] = str(error)
    print(json.dumps(answer), flush=True)

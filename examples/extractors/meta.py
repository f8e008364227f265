"""Describes texts: how many words, and the first line."""
import os


def describe(filename):
    if os.path.splitext(filename)[1] not in (".txt", ".md"):
        return None
    with open(filename, encoding="utf-8") as f:
        lines = f.read().splitlines()
    return {
        "text": {
            "words": sum(len(line.split()) for line in lines),
            "title": lines[0].strip("# ") if lines else None,
        },
    }

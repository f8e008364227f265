#!/usr/bin/python3
"""Writes the HDF5 fixtures: see SCIENCE.md."""
import h5py
import numpy as np


def fill(f):
    f.attrs["title"] = "fixture"
    f.attrs["fixed"] = np.bytes_(b"ascii")
    f.attrs["count"] = np.int32(-7)
    f.attrs["big"] = np.array(513, ">u2")
    f.attrs["ratio"] = np.float32(0.1)
    f.attrs["flag"] = True
    f.attrs["list"] = np.array([1.5, 2.5])
    f.attrs["names"] = ["a", "bc"]
    f.attrs["none"] = h5py.Empty("f4")
    f.create_dataset("scalar", data=1.0)
    f.create_dataset("texts", data=["x", "y"], dtype=h5py.string_dtype())
    g = f.create_group("raw")
    d = g.create_dataset("image", (6, 4), "<u2", chunks=(3, 4), maxshape=(None, 4), compression="gzip", shuffle=True)
    d[...] = 7
    g.create_dataset("complex", (2,), "c16")
    g.create_dataset("mask", data=np.array([True, False]))
    g.create_dataset("points", (3,), np.dtype([("x", "f8"), ("n", "i4"), ("v", "f4", (3,))]))
    deep = g.create_group("deep/er")
    deep.create_dataset("vlen", (2,), h5py.vlen_dtype(np.int32))
    f["soft"] = h5py.SoftLink("/raw")
    f["loop"] = f["raw"]
    f["type"] = np.dtype("<i8")
    f.create_dataset("named", (1,), f["type"])


with h5py.File("old.h5", "w", libver="earliest", userblock_size=512) as f:
    fill(f)
with h5py.File("new.h5", "w", libver="latest") as f:
    fill(f)
# Links and attributes that do not fit into headers: fractal heaps with
# indirect blocks, trees of two levels.
with h5py.File("dense.h5", "w", libver="latest", track_order=False) as f:
    for i in range(120):
        f.create_group(f"group{i:03}_with_a_long_name_that_fills_the_heap")
    for i in range(30):
        f.attrs[f"attribute{i:02}"] = i
# An old-style group with a tree of two levels.
with h5py.File("many.h5", "w", libver="earliest") as f:
    d = f.create_dataset("d", (0,), "i1")
    for i in range(400):
        f[f"l{i:03}"] = d
    f.create_dataset("l200a", (1,), "i1")

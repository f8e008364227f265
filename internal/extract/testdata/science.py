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

# NumPy, MATLAB and Zarr.
import scipy.io
import zarr

a = np.arange(6, dtype=">f4").reshape(2, 3)
np.save("big.npy", np.asfortranarray(a))
np.save("structured.npy", np.zeros(2, [("x", "<f8"), ("y", "<i4")]))
np.save("dates.npy", np.array("2024-02-29", "M8[D]"))
np.savez("plain.npz", image=a, labels=np.array(["a", "bcd"]))
np.savez_compressed("packed.npz", image=a, labels=np.array(["a", "bcd"]))
for name, packed in (("plain.mat", False), ("packed.mat", True)):
    scipy.io.savemat(name, {
        "x": np.zeros((2, 3)), "name": "text", "mask": np.array([True, False]), "n": np.int16(3),
        "z": np.array([1j]), "s": {"a": 1}, "c": np.array([1, "b"], dtype=object), "long_name_of_it": np.zeros((50, 50), "f4"),
    }, do_compression=packed)
    with open(name, "r+b") as f:  # the same bytes every time
        f.write(b"MATLAB 5.0 MAT-file Platform: posix, Created on: Thu Feb 29 00:00:00 2024".ljust(116))
g = zarr.open_group("store.zarr", "w")
g.attrs.update({"title": "fixture", "n": 3, "scale": [0.5, 2], "nested": {"a": 1}})
g.create_dataset("image", shape=(10, 20), chunks=(5, 20), dtype="<u2", compressor=zarr.Blosc(cname="zstd"))

"""The whole program without machine, network and time: seeded, so that each failure repeats.

`loop` is an event loop whose clock jumps to the next timer; `disk` loses on a crash what was not
synced; `registry` is a `Source` that lies, fails and is slow; `program` binds the real parts to
them, `luck` and `world` make things happen and check after each what must always hold, `chronicle`
keeps the last of what happened for whoever reads a failure. `planted` has the bugs that it has to
find.
"""

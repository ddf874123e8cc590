"""What devices, boards and registries reach over HTTP.

Rooms here meet the rest of the program in the catalog, the store and the work queue, and nowhere
else: that one seam is why devices are served while the registry is down.
"""

"""What devices speak, one file a protocol, and one visible table of all: `table.py`.

Each file reads what its clients send and says what they get: an `Answer`, or a `FirmwareAnswer` of
firmware. What a client is told is `offer.py`'s, how firmware goes out is `delivery.py`'s.
"""

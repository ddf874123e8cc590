"""Sockets, TLS, the fast path for plain polls, and the hand-over to aiohttp."""

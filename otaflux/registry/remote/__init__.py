"""A registry over HTTP, behind the methods that every source has: `source.Remote`.

Nothing is imported here: who works on the embedded folder does not wait for the HTTP client.
"""

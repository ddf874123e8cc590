"""A registry over HTTP, behind the methods that every source has."""

from otaflux.registry.remote.source import Remote

__all__ = ["Remote"]

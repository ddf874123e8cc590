"""OtaFlux: over-the-air firmware from an OCI registry."""

__version__ = "0.1.0"

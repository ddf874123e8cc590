"""Every setting declared once, and how flags, environment and files become values."""

from otaflux.settings.addresses import Address, BrokerUrl, Network
from otaflux.settings.origins import Misspelt, Origin, SettingOrigins, origins
from otaflux.settings.reading import read
from otaflux.settings.table import SETTINGS, Setting, Settings

__all__ = [
    "SETTINGS",
    "Address",
    "BrokerUrl",
    "Misspelt",
    "Network",
    "Origin",
    "Setting",
    "SettingOrigins",
    "Settings",
    "origins",
    "read",
]

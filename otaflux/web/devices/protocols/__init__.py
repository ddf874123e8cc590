"""What single kinds of clients need besides `/version` and `/firmware`, one file a kind.

Each file is pure: it reads that client's headers and says what its answer has more or instead. A
protocol of its own addresses, such as hawkBit's DDI, gets its file here too; `web/ask.py` names the
addresses. RAUC's polling and SWUpdate's downloader live on conditions and ranges alone.
"""

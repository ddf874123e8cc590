"""Very many tags in little memory: some forty bytes each, where a `Tag` takes four times that.

Tags hold no line end (OCI grammar), so they lie one a line in bytes, and become texts again a piece
at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from otaflux.model.names import Tag

PIECE = 64 * 1024  # bytes that are texts at once


class TagList(Collection[Tag]):
    """Tags as their source has them, in no order; one may be there twice."""

    __slots__ = ("_count", "_pages")

    def __init__(self, pages: Iterable[Iterable[str]] = ()) -> None:
        self._pages: list[bytes] = []
        self._count = 0
        for page in pages:
            self.add(page)

    def add(self, texts: Iterable[str]) -> None:
        """Put in more; each has to be a tag."""
        texts = tuple(texts)
        if texts:
            self._pages.append("\n".join(texts).encode())
            self._count += len(texts)

    def extend(self, other: TagList) -> None:
        """Put in those of another list."""
        self._pages += other._pages
        self._count += other._count

    def texts(self) -> Iterator[str]:
        """Each tag's text; takes the memory of a piece of them."""
        for page in self._pages:
            start = 0
            while start < len(page):
                end = page.find(b"\n", start + PIECE)
                end = len(page) if end < 0 else end
                yield from page[start:end].decode().split("\n")
                start = end + 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Tag]:
        return map(Tag, self.texts())

    def __contains__(self, tag: object) -> bool:
        return isinstance(tag, Tag) and any(text == tag.text for text in self.texts())

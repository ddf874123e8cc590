"""Texts that many units share, each held once and named by a number while somebody uses it.

On one thread at a time. Number 0 is the empty text, which is always there.
"""

from __future__ import annotations

from array import array


class Words:
    """The texts, and how often each is used."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {"": 0}
        self._uses = array("I", [1])
        self._free: list[int] = []
        self.texts = [""]

    def take(self, text: str) -> int:
        """The number of a text, used once more than before."""
        number = self._numbers.get(text)
        if number is None:
            if self._free:
                number = self._free.pop()
                self.texts[number] = text
            else:
                number = len(self.texts)
                self.texts.append(text)
                self._uses.append(0)
            self._numbers[text] = number
        if number:
            self._uses[number] += 1
        return number

    def give_back(self, number: int) -> None:
        """A text is used once less; nobody's text is forgotten, and its number is free."""
        if not number:
            return
        self._uses[number] -= 1
        if not self._uses[number]:
            del self._numbers[self.texts[number]]
            self.texts[number] = ""
            self._free.append(number)

    def find(self, text: str) -> int | None:
        """The number of a text that somebody uses."""
        return self._numbers.get(text)

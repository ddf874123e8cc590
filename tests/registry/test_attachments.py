"""Which of the attached artifacts are looked at, and in which order."""

from __future__ import annotations

from otaflux.model.artifact import (
    BUNDLE_TYPE,
    OCI_EMPTY,
    OCI_MANIFEST,
    PREDICATE_TYPE,
    SIGNS,
    Descriptor,
    Digest,
)
from otaflux.registry.attachments import MAX_HINT, likeliest


def claim(number: int, artifact_type: str = "", said: str | None = None) -> Descriptor:
    """What a listing says of one artifact."""
    annotations = {} if said is None else {PREDICATE_TYPE: said}
    digest = Digest("sha256", f"{number:064x}")
    return Descriptor(OCI_MANIFEST, digest, 1, annotations, artifact_type=artifact_type)


def numbers(found: tuple[Descriptor, ...]) -> list[int]:
    """Which they are."""
    return [int(each.digest.hex, 16) for each in found]


def test_likely_signatures_come_first_and_the_last_of_them_before_older_ones() -> None:
    """A wrong or missing word puts nothing out, and an SBOM behind all that may be one."""
    found = likeliest(
        [
            claim(1, f"{BUNDLE_TYPE}.v0.3+json", "https://slsa.dev/provenance/v1"),
            claim(2, "application/spdx+json"),
            claim(3, OCI_EMPTY),
            claim(4),
            claim(5, f"{BUNDLE_TYPE}.v0.3+json", SIGNS),
            claim(6, f"{BUNDLE_TYPE}+json;version=0.3"),
            claim(7, said=SIGNS),
        ]
    )
    assert numbers(found) == [7, 5, 6, 4, 3, 2, 1]


def test_a_list_is_cut_after_it_was_sorted_and_page_by_page_alike() -> None:
    """Thousands of other things do not hide the one that says what it is."""
    claims = [claim(1, said=SIGNS), *(claim(number, "application/x") for number in range(2, 5000))]
    found = likeliest(claims, most=3)
    assert numbers(found) == [1, 4999, 4998]
    paged = likeliest((*likeliest(claims[:10], most=3), *claims[10:]), most=3)
    assert numbers(paged) == numbers(found)


def test_what_is_listed_twice_is_looked_at_once_and_long_words_are_cut() -> None:
    """A listing is somebody's words."""
    found = likeliest([claim(1, said="x" * 5000), claim(1), claim(1)])
    assert numbers(found) == [1]
    assert len(found[0].annotations[PREDICATE_TYPE]) == MAX_HINT

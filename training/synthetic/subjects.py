"""The table of synthetic subjects; adding one is adding a file with its row."""

from __future__ import annotations

from . import female1, female2, male1, male2
from .person import Person

SUBJECTS: dict[str, Person] = {
    person.name: person for person in (female1.PERSON, female2.PERSON, male1.PERSON, male2.PERSON)
}
"""Every known subject by name."""

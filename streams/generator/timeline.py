"""All patients' facts in one stream, in the order in which they arrive over a year."""

from collections import defaultdict, deque
from collections.abc import Iterator
from itertools import count
from random import Random

from streams.adjudication.days import Day
from streams.adjudication.facts import Fact

from .catalogue import YEAR_BEGINS, Network, found_network
from .patient import SECONDS_PER_DAY, Arrival, Patient
from .stories import STORIES, Story

_YEAR_DAYS = 365
# Patient ids walk through 2^40 opaque numbers in steps of an odd constant: no two patients of a history share one.
_TOKENS = 1 << 40
_TOKEN_STEP = 0x9E_3779_B97F


def history(patients: int, seed: int) -> Iterator[Fact]:
    """The facts of a year, in order of arrival; all provider agreements come first.

    Patients are admitted over the year, so only those under treatment are held in memory.
    """
    rng = Random(seed)  # noqa: S311 - a story, not a secret
    network = found_network(rng, patients)
    yield from network.agreements
    yield from (arrival.fact for arrival in _arrivals(rng, network, patients))


def _arrivals(rng: Random, network: Network, patients: int) -> Iterator[Arrival]:
    first_token = rng.randrange(_TOKENS)
    admissions = deque(_admissions(rng, patients))
    mail: defaultdict[Day, list[Arrival]] = defaultdict(list)
    admitted = 0
    for day in count(YEAR_BEGINS):
        while admissions and admissions[0][0] == day:
            story = admissions.popleft()[1]
            admitted += 1
            token = (first_token + admitted * _TOKEN_STEP) % _TOKENS
            patient = Patient(admitted, f"pt-{token:010x}", rng, network, day)
            story.tell(patient)
            for arrival in patient.arrivals:
                arrives = arrival.at_seconds // SECONDS_PER_DAY
                assert arrives >= day, f"the story {story.name} sends a fact before it begins"
                mail[arrives].append(arrival)
        yield from sorted(mail.pop(day, ()))
        if not admissions and not mail:
            return


def _admissions(rng: Random, patients: int) -> list[tuple[Day, Story]]:
    """Each patient's first day and story, in order of days: stories end within the year, give or take."""
    weights = [story.weight for story in STORIES]
    # with patients enough each story is told at least once
    certain = STORIES if patients >= len(STORIES) else []
    told = [*certain, *rng.choices(STORIES, weights, k=patients - len(certain))]
    admissions = [(_first_day(rng, story), story) for story in told]
    return sorted(admissions, key=lambda admission: admission[0])


def _first_day(rng: Random, story: Story) -> Day:
    if story.begins is not None:
        return story.begins
    return YEAR_BEGINS + 1 + rng.randrange(_YEAR_DAYS - story.days)

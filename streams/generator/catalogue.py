"""The world that the patients live in: cancers and regimens, practices and their oncologists, agreements and fees.

Codes are ICD-10-CM (without the dot, as claims carry them), HCPCS and CPT, as they stood in 2025. Charges are round
numbers of the right size, no provider's.
"""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from streams.adjudication.days import Day, day_from_iso
from streams.adjudication.facts import AgreementSpan, Cents, ProviderAgreement

PLAN = "PPO"
OTHER_PLAN = "HMO"  # a plan that members leave for; nothing is billed to it
PAYER = "HP001"
ADMINISTRATOR = "MOP01"  # the program's administrator: no payer, yet claims are sent there by mistake
PROGRAM = "MOP"

YEAR_BEGINS: Day = day_from_iso("2025-01-01")
FEES_CHANGE: Day = day_from_iso("2025-07-01")
LONG_AGO: Day = day_from_iso("2020-01-01")


class Drug(NamedTuple):
    """A drug of a regimen, as it is billed."""

    code: str
    units: int
    charge_cents: Cents


class Regimen(NamedTuple):
    """A treatment that an oncologist may select."""

    code: str
    on_pathway: bool
    max_months: int
    diagnosis_codes: tuple[str, ...]
    drugs: tuple[Drug, ...]


_BREAST = ("C50111", "C50211", "C50411", "C50412", "C50911", "C50912")
_LUNG = ("C3411", "C3412", "C3431", "C3432", "C3490")
_COLON = ("C182", "C184", "C187", "C189")
_PANCREAS = ("C250", "C251", "C259")
_OVARY = ("C561", "C562", "C569")
_LYMPHOMA = ("C8330", "C8331", "C8338")
_PROSTATE = ("C61",)

_BEVACIZUMAB = Drug("J9035", 40, 380_000)
_CARBOPLATIN = Drug("J9045", 12, 6_000)
_CISPLATIN = Drug("J9060", 14, 4_200)
_CYCLOPHOSPHAMIDE = Drug("J9075", 220, 42_000)
_DOCETAXEL = Drug("J9171", 140, 28_000)
_DOXORUBICIN = Drug("J9000", 11, 5_500)
_FLUOROURACIL = Drug("J9190", 10, 3_000)
_GEMCITABINE = Drug("J9201", 9, 9_000)
_IRINOTECAN = Drug("J9206", 16, 9_600)
_LEUCOVORIN = Drug("J0640", 16, 4_800)
_OXALIPLATIN = Drug("J9263", 300, 21_000)
_PACLITAXEL = Drug("J9267", 150, 15_000)
_PACLITAXEL_BOUND = Drug("J9264", 220, 330_000)
_PEMBROLIZUMAB = Drug("J9271", 200, 1_150_000)
_PEMETREXED = Drug("J9305", 90, 180_000)
_RITUXIMAB = Drug("J9312", 70, 620_000)
_TRASTUZUMAB = Drug("J9355", 48, 510_000)
_VINCRISTINE = Drug("J9370", 2, 2_000)

ON_PATHWAY = (
    Regimen("BR-TC", True, 6, _BREAST, (_DOCETAXEL, _CYCLOPHOSPHAMIDE)),
    Regimen("BR-ACT", True, 6, _BREAST, (_DOXORUBICIN, _CYCLOPHOSPHAMIDE)),
    Regimen("BR-TCH", True, 12, _BREAST, (_DOCETAXEL, _CARBOPLATIN, _TRASTUZUMAB)),
    Regimen("LU-CP", True, 6, _LUNG, (_CARBOPLATIN, _PACLITAXEL)),
    Regimen("LU-PEM", True, 12, _LUNG, (_PEMBROLIZUMAB,)),
    Regimen("CO-FOLFOX", True, 6, _COLON, (_OXALIPLATIN, _LEUCOVORIN, _FLUOROURACIL)),
    Regimen("CO-FOLFIRI", True, 6, _COLON, (_IRINOTECAN, _LEUCOVORIN, _FLUOROURACIL)),
    Regimen("PA-GEM", True, 6, _PANCREAS, (_GEMCITABINE,)),
    Regimen("OV-CP", True, 6, _OVARY, (_CARBOPLATIN, _PACLITAXEL)),
    Regimen("LY-RCHOP", True, 6, _LYMPHOMA, (_RITUXIMAB, _CYCLOPHOSPHAMIDE, _DOXORUBICIN, _VINCRISTINE)),
    Regimen("PR-DOC", True, 8, _PROSTATE, (_DOCETAXEL,)),
)
OFF_PATHWAY = (
    Regimen("BR-NABP", False, 6, _BREAST, (_PACLITAXEL_BOUND,)),
    Regimen("LU-CPB", False, 6, _LUNG, (_CARBOPLATIN, _PACLITAXEL, _BEVACIZUMAB)),
    Regimen("LU-CISPEM", False, 6, _LUNG, (_CISPLATIN, _PEMETREXED)),
    Regimen("CO-FOLFOXB", False, 6, _COLON, (_OXALIPLATIN, _LEUCOVORIN, _FLUOROURACIL, _BEVACIZUMAB)),
    Regimen("PA-GNAB", False, 6, _PANCREAS, (_GEMCITABINE, _PACLITAXEL_BOUND)),
)


class Practice(NamedTuple):
    """An oncology practice: bills under its own NPI for oncologists who select regimens under theirs."""

    npi: str
    oncologists: tuple[str, ...]
    s0353_charge_cents: Cents
    s0354_charge_cents: Cents


class Network(NamedTuple):
    """The practices of a history. `agreements` are theirs, in the order in which they became known."""

    practices: tuple[Practice, ...]  # in network all year, with all of their oncologists
    strangers: tuple[Practice, ...]  # never in network
    leaver: Practice  # in network until FEES_CHANGE
    agreements: tuple[ProviderAgreement, ...]


def check_digit(nine_digits: int) -> int:
    """The last digit of an NPI: Luhn's, over the nine digits with the prefix 80840 of health providers in the USA."""
    total = 24  # what the prefix adds to the sum
    for place, digit in enumerate(reversed(f"{nine_digits:09d}")):
        doubled = int(digit) * (2 - place % 2)
        total += doubled - 9 * (doubled > 9)
    return -total % 10


def _npis(rng: Random, count: int) -> Iterator[str]:
    return (f"{nine}{check_digit(nine)}" for nine in rng.sample(range(100_000_000, 200_000_000), count))


# A practice sets one price for all payers. Most ask more than the fee; the few that ask less are paid what they ask.
_CHARGES = ((40_000, 40_000), (45_000, 40_000), (50_000, 45_000), (35_000, 35_000), (30_000, 32_500))
_FEES = ((35_000, 35_000), (35_000, 35_000), (37_500, 35_000), (40_000, 36_000))
_FILING_LIMITS_DAYS = (90, 90, 90, 120, 180)
LONGEST_FILING_LIMIT_DAYS = max(_FILING_LIMITS_DAYS)

_PATIENTS_PER_PRACTICE = 25
_OUTSIDERS = 3  # the leaver and the strangers


def found_network(rng: Random, patients: int) -> Network:
    """Practices and agreements for that many patients."""
    count = min(max(8, patients // _PATIENTS_PER_PRACTICE), 400) + _OUTSIDERS
    sizes = [1, 1, *(rng.randint(2, 5) for _ in range(count - 2))]  # the strangers work alone
    npis = _npis(rng, sum(sizes) + count)
    practices = []
    for size in sizes:
        s0353_charge, s0354_charge = rng.choice(_CHARGES)
        practices.append(Practice(next(npis), tuple(next(npis) for _ in range(size)), s0353_charge, s0354_charge))
    strangers, leaver, members = practices[:2], practices[2], practices[3:]
    first: list[ProviderAgreement] = []
    later: list[ProviderAgreement] = []
    for number, practice in enumerate([leaver, *members]):
        s0353_fee, s0354_fee = rng.choice(_FEES)
        filing_limit_days = rng.choice(_FILING_LIMITS_DAYS)
        since_long_ago = AgreementSpan(PLAN, LONG_AGO, None, filing_limit_days, s0353_fee, s0354_fee)
        first_half = since_long_ago._replace(effective_to=FEES_CHANGE - 1)
        raised = since_long_ago._replace(
            effective_from=FEES_CHANGE, s0353_fee_cents=s0353_fee + 1_500, s0354_fee_cents=s0354_fee + 1_000
        )
        for npi in (practice.npi, *practice.oncologists):
            first.append(ProviderAgreement(f"agreement-{npi}-1", npi, 1, (since_long_ago,)))
            if practice is leaver:
                later.append(ProviderAgreement(f"agreement-{npi}-2", npi, 2, (first_half,)))
            elif number % 4 == 1:  # every fourth practice negotiated for the second half of the year
                later.append(ProviderAgreement(f"agreement-{npi}-2", npi, 2, (first_half, raised)))
    return Network(tuple(members), tuple(strangers), leaver, (*first, *later))

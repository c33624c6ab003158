"""837P files for the tests, written here. Envelopes are counted and numbered rightly, so that a test breaks one thing."""

from collections.abc import Iterable

NPI = "1234567893"
OTHER_NPI = "1993999998"


def isa(control: int = 1, usage: str = "P", element: str = "*", component: str = ":", terminator: str = "~") -> str:
    fields = ("00", " " * 10, "00", " " * 10, "ZZ", f"{'CLEARING':15}", "ZZ", f"{'HEALTHPLAN':15}", "240112", "0930")
    return element.join(("ISA", *fields, "^", "00501", f"{control:09}", "0", usage, component)) + terminator


def line(
    number: int, code: str = "HC:S0353", charge: str = "400", units: str = "1", date: str = "20240108", **more: str
) -> list[str]:
    pointer = more.get("pointer", "1")
    return [
        f"LX*{number}",
        f"SV1*{code}*{charge}*{more.get('basis', 'UN')}*{units}*{more.get('place', '')}**{pointer}",
        f"DTP*472*{'RD8' if '-' in date else 'D8'}*{date}",
        *more.get("after", "").split("|"),
    ]


def claim(
    number: str = "PCN-A", charge: str = "400", lines: Iterable[list[str]] | None = None, **more: str
) -> list[str]:
    segments = [
        f"CLM*{number}*{charge}***11:B:{more.get('frequency', '1')}*Y*A*Y*Y",
        *more.get("references", "").split("|"),
        more.get("diagnoses", "HI*ABK:C50911*ABF:Z5111"),
        *more.get("providers", "").split("|"),
    ]
    for one in lines if lines is not None else [line(1)]:
        segments.extend(one)
    return [segment for segment in segments if segment]


def billing(hl: int = 1, npi: str = NPI) -> list[str]:
    return [
        f"HL*{hl}**20*1",
        f"NM1*85*2*ONCOLOGY GROUP*****XX*{npi}",
        "N3*1 MAIN ST",
        "N4*DENVER*CO*802010000",
        "REF*EI*987654321",
    ]


def subscriber(
    hl: int = 2, parent: int = 1, member: str = "MEM0001", payer: str = "HP001", group: str = "G1", leaf: bool = True
) -> list[str]:
    return [
        f"HL*{hl}*{parent}*22*{0 if leaf else 1}",
        f"SBR*P*{'18' if leaf else ''}*{group}******12",
        f"NM1*IL*1*DOE*JANE****MI*{member}",
        *(["N3*2 OAK ST", "N4*DENVER*CO*802010000", "DMG*D8*19600102*F"] if leaf else []),
        f"NM1*PR*2*HEALTH PLAN*****PI*{payer}",
    ]


def patient(hl: int = 3, parent: int = 2, first: str = "TOM", born: str = "20100506") -> list[str]:
    return [
        f"HL*{hl}*{parent}*23*0",
        "PAT*19",
        f"NM1*QC*1*DOE*{first}",
        "N3*2 OAK ST",
        "N4*DENVER*CO*802010000",
        f"DMG*D8*{born}*M",
    ]


def transaction_set(*body: list[str], control: str = "0001", purpose: str = "CH") -> list[str]:
    segments = [
        f"ST*837*{control}*005010X222A1",
        f"BHT*0019*00*B1*20240112*0930*{purpose}",
        "NM1*41*2*BILLING SERVICE*****46*S1",
        "PER*IC*DESK*TE*3035550100",
        "NM1*40*2*HEALTH PLAN*****46*HP001",
        *(segment for part in body for segment in part),
    ]
    return [*segments, f"SE*{len(segments) + 1}*{control}"]


def interchange(*sets: list[str], control: int = 1, usage: str = "P", date: str = "20240112") -> str:
    body = "".join(f"{segment}~" for one in sets for segment in one)
    return (
        f"{isa(control, usage)}GS*HC*CLEARING*HEALTHPLAN*{date}*0930*{control}*X*005010X222A1~{body}"
        f"GE*{len(sets)}*{control}~IEA*1*{control:09}~"
    )


def one_claim(*, under: list[str] | None = None, **given: object) -> str:
    """A file with one claim, of a subscriber who is the patient."""
    return interchange(transaction_set(billing(), under or subscriber(), claim(**given)))  # type: ignore[arg-type]

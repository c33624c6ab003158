"""What the measurement needs to know of a system."""

import dataclasses
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a run happens."""

    bootstrap_servers: str
    facts_file: Path
    folder: Path  # for state that is local to the system
    app_id: str  # names its consumer group, transactions and changelog: another one each run
    partitions: int = 12
    processes: int = 1
    # Means of what the fold makes of the facts: a system without rules writes as much
    output_bytes: int = 0
    outputs_per_1000: int = 0
    state_bytes: int = 0

    def changelog(self) -> str:
        """The topic that the harness makes for a peer's state."""
        return f"{self.app_id}-patients-changelog"


@dataclasses.dataclass(frozen=True)
class System:
    """A system under measurement."""

    name: str
    title: str
    guarantee: str
    settings: str
    command: Callable[[Place, int], list[str]]  # of the nth process; raises PeerMissingError
    decides: bool = True  # False: transport only, without rules
    exactly_once: bool = True
    facts_of: Callable[[int], int] = lambda facts: facts  # fewer for a slow one: a rate does not depend on how many
    quiet_seconds: float = 3.0  # all that was expected is there, and nothing new for so long: it is done
    deletes_state: bool = True  # a start with an empty folder rebuilds its state from Kafka


def program(python: Path | str, module: str, place: Place) -> list[str]:
    """The command that runs one of our peer programs."""
    values = dataclasses.asdict(place)
    return [str(python), "-m", module, *(f"{name}={value}" for name, value in values.items())]


def place_from_arguments() -> Place:
    """The place that `program` wrote."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:] if "=" in argument)
    convert: Mapping[str, Callable[[str], object]] = {
        field.name: {str: str, Path: Path, int: int}[field.type]
        for field in dataclasses.fields(Place)  # type: ignore[index]
    }
    os.makedirs(given["folder"], exist_ok=True)
    return Place(**{name: convert[name](text) for name, text in given.items()})  # type: ignore[arg-type]

"""The harness finds bugs: each deliberate one is seen by a judge, and the scenarios come out right without it."""

from collections.abc import Iterator

import pytest

from tests.faults.bugs import BUGS
from tests.faults.scenarios import look_for
from tests.faults.system import ProxiedBroker

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedBroker]:
    """Shared by the scenarios: each makes its topics anew."""
    with ProxiedBroker(tmp_path_factory.mktemp("broker"), workers=2) as running:
        yield running


def test_without_a_bug_nothing_is_found(broker: ProxiedBroker) -> None:
    found = look_for(broker, None, pause_at="before begin")
    assert not found, found


@pytest.mark.parametrize("name", BUGS)
def test_a_deliberate_bug_is_found(broker: ProxiedBroker, name: str) -> None:
    bug = BUGS[name]
    found = look_for(
        broker,
        name,
        die_at=bug.die_at,
        pause_at=bug.pause_at,
        returns_after_another=bug.returns_after_another,
    )
    print(f"{name}: verify says {found.by_verify}; the audit says {found.by_audit}")
    assert found

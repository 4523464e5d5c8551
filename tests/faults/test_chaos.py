"""Acknowledged ⊆ stored ⊆ attempted, each once and as sent, whatever breaks: the short form of `make chaos`."""

from collections.abc import Iterator

import pytest

from faults import trial
from faults.faults import FAULTS
from faults.stacks import Stacks
from faults.trial import SHORT, Fault


@pytest.fixture(scope="module")
def stacks() -> Iterator[Stacks]:
    with Stacks() as made:
        yield made


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_nothing_acknowledged_is_lost_or_there_twice_or_altered(fault: Fault, stacks: Stacks) -> None:
    """Nor does a client see an error that the fault does not excuse."""
    with stacks.on(fault) as stack:
        result = trial.run(fault, stack, SHORT)
    print(result)
    assert result.troubles == []
    assert result.findings.stored >= result.findings.acknowledged >= SHORT.acknowledged


def test_after_all_faults_the_audit_agrees(stacks: Stacks) -> None:
    """What anyone can ask of their own stack is proven for those that have just been through everything."""
    audits = list(stacks.audits())
    assert audits
    print("\n".join(audits))

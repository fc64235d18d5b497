"""Interruption: a first signal waits, a second one acts at once."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from imavatar_deploy.training.interruption import Interruption

from ..commands import ROOT
from ..processes import started

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

LONG_STEP = """
import time
from imavatar_deploy.training.interruption import Interruption
with Interruption() as interruption:
    print("began", flush=True)
    while not interruption.requested:
        time.sleep(0.01)
    print("requested", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_acts_at_once(number: signal.Signals) -> None:
    with started([sys.executable, "-c", LONG_STEP], limit=30, cwd=ROOT) as child:
        assert child.line() == "began\n"
        child.process.send_signal(number)
        assert child.line() == "requested\n"
        child.process.send_signal(number)
        result = child.finish()
    assert result.returncode == -number, result.stderr


def test_a_signal_acts_when_the_context_ends() -> None:
    done = False
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        assert not interruption.requested
        signal.raise_signal(signal.SIGINT)
        assert interruption.requested
        done = True
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_is_not_replaced_by_the_signal() -> None:
    with pytest.raises(ArithmeticError), Interruption():
        signal.raise_signal(signal.SIGINT)
        raise ArithmeticError


def test_a_process_that_received_no_signal_ends_with_the_others() -> None:
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        interruption.end()


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGHUP)
            assert not interruption.requested
    finally:
        signal.signal(signal.SIGHUP, before)

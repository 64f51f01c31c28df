"""What all tests share: pytest's own assertion messages for the suites that ship in the package, and Ctrl-C."""

from __future__ import annotations

import signal

import pytest

pytest.register_assert_rewrite(
    "crossthread.testing.suite", "crossthread.testing.store_suite", "crossthread.testing.model"
)

# A shell starts what runs in the background with interrupts ignored, and so would be those that tests send themselves.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

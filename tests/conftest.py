"""What all tests share: pytest's own assertion messages for the suites that ship in the package."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "crossthread.testing.suite", "crossthread.testing.store_suite", "crossthread.testing.model"
)

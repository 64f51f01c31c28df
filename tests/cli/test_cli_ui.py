"""``ui``: starts the inspector, tells its address, and ends with Ctrl-C. What the page does is tested in tests/ui."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ui_serves_until_ctrl_c(agent):
    command = [sys.executable, "-m", "crossthread", "ui", str(agent), "--no-browser", "--read-only"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert "agent.db (read-only)" in running.stdout.readline()
        address = running.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        for _ in range(100):
            try:
                opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
                page = opener.open(address, timeout=30).read().decode()
                break
            except ConnectionRefusedError:
                continue
        assert "Open the inspector" in page
    finally:
        running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=30)
    assert "Traceback" not in told
    assert running.returncode in (0, 130)


def test_ui_of_nothing(ct, tmp_path):
    assert "no file" in ct("ui", "nowhere.db", code=3)
    assert "--port" in ct("ui", "nowhere.db", "--port", "70000", code=2)
    assert [*tmp_path.iterdir()] == []

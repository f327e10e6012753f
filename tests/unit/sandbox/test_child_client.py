"""The grader's side of a child: how long it waits for a cell."""

from types import SimpleNamespace

import pytest

from handgrad.sandbox import child_client
from handgrad.sandbox.child_client import ChildClient
from handgrad.sandbox.isolation.limits import Limits


class _Silent:
    """The channel of a child that says nothing, on a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timeout = 0.0

    def settimeout(self, timeout: float) -> None:
        self._timeout = timeout

    def recv(self, _size: int) -> bytes:
        self.now += self._timeout
        raise TimeoutError


@pytest.mark.parametrize(("share", "seconds"), [(0.08, 10.9), (0.5, 20.0), (0.9, 40.0)])
def test_time_in_the_queue(share: float, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell gets back the time that it waited for a processor, and no more, also if that goes on afterwards.

    A grader on the same processor makes it wait a little whenever it looks.
    """
    channel = _Silent()
    process = SimpleNamespace(pid=1, connection=channel, end=lambda: 0)
    child = ChildClient(process, [], Limits(cell_seconds=10.0), set())
    monkeypatch.setattr(child_client.time, "monotonic", lambda: channel.now)
    monkeypatch.setattr(child, "_queued", lambda: share * channel.now)
    with pytest.raises(TimeoutError):
        child.receive_frame(10.0)
    assert channel.now == pytest.approx(seconds, rel=0.05)

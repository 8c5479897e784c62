"""Which iterates become partial images."""

from collections.abc import Mapping
from typing import Any


class Partials:
    """Picks at most ``most`` of the iterates of an image, as their events come: the first one at once, as there is
    nothing sooner, and the others spread over the rounds that the planner expects. How many iterates there will be
    nobody knows beforehand, so there may be fewer partial images than asked for."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.sent = 0
        self._expected = 0
        self._newest = ""

    def planned(self, state: Mapping[str, Any]) -> None:
        """Take notice of a ``state`` event, which may tell what the planner expects of the image."""
        image: Mapping[str, Any] = state.get("image") or {}
        self._expected = image.get("predicted_rounds") or self._expected

    def pick(self, iterate: Mapping[str, Any]) -> bool:
        """Whether the iterate that an event tells of is to be sent: then it counts as sent. One that is final, of which
        no picture is kept, or that looks like the one before, never is."""
        picture = iterate["etag"]
        if self.sent == self.most or iterate["final"] or not picture or picture == self._newest:
            return False
        # Partial image j of k is due when j/k of the rounds are done.
        if iterate["rounds"] * self.most < self._expected * self.sent:
            return False
        self._newest = picture
        self.sent += 1
        return True

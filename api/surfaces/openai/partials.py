"""Which iterates become partial images."""

from collections.abc import Mapping
from typing import Any


class Partials:
    """Picks at most ``most`` iterates of an image, as their events come: the first iterate, and others spread over the
    rounds that the planner predicts. The number of iterates is not known beforehand, so that there may be fewer partial
    images than requested."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.sent = 0
        self._predicted = 0
        self._newest = ""

    def planned(self, state: Mapping[str, Any]) -> None:
        """Take the prediction of the planner from a ``state`` event, if it has one."""
        image: Mapping[str, Any] = state.get("image") or {}
        self._predicted = image.get("predicted_rounds") or self._predicted

    def pick(self, iterate: Mapping[str, Any]) -> bool:
        """Whether to send the iterate of this event; it then counts as sent. The final iterate is never sent, nor one
        without a picture, or with the same picture as the one before."""
        picture = iterate["etag"]
        if self.sent == self.most or iterate["final"] or not picture or picture == self._newest:
            return False
        # Partial image j of k is due when j/k of the rounds are done.
        if iterate["rounds"] * self.most < self._predicted * self.sent:
            return False
        self._newest = picture
        self.sent += 1
        return True

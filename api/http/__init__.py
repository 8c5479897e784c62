"""HTTP: what holds for every request, whichever surface it is for."""

"""HTTP in; JSON and pictures out. It reads and moves jobs through the store and puts them on the queue, no more."""

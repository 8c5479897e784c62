"""The service while its parts are killed, frozen and flushed at random: `python -m tests.chaos --minutes 10 --seed 7`.

`parts` runs everything as processes, `faults` breaks them, `clients` are those who must not notice, `run` puts them
together and checks what is left.
"""

"""`underpaint generate`: asks a running server for pictures and saves every iterate as it comes."""

"""How much one key may ask for."""

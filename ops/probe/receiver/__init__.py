"""The address that the probe gives to the provider: serves inputs, records what calls it."""

"""Forecasts of carbon intensity from a zone's own history: no weather, no key. Pure: numpy, no clock, no I/O."""

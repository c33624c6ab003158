"""Hypothesis in the unit tests: the same examples in every run, and no deadline that a busy machine could miss."""

from hypothesis import HealthCheck, settings

settings.register_profile("unit", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")

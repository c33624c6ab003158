"""A year of an oncology pathway program that never happened: facts as they would arrive, from a seed.

`history(patients, seed)` is the door. The same arguments give the same facts on every machine: nothing else is read, no
clock, no environment, no hash order. The people and providers do not exist; an NPI passes its check digit and may, by
chance, be somebody's.

* `catalogue`: what providers do and charge: cancers, regimens, drugs, practices, agreements.
* `patient`: one patient's file: what is sent about them, and on which day it arrives.
* `stories`: what happens to patients. Each story is a small function; together they reach every outcome and reason.
* `timeline`: who is told which story, and all patients' facts in one stream in order of arrival.
"""

from .timeline import history

__all__ = ["history"]

"""The demonstration: a year of patients through a real Kafka and a worker, live in the terminal, checked at the end.

* `stage`: the broker, the topics and the worker process, and their end.
* `scoreboard`: what has happened so far, and what should come out.
* `screen`: how that looks, on a terminal and without one.
* `check`: what came out of Kafka, compared with an offline fold of the same facts.
"""

"""Read models built from the decision log.

Their rule is one line: of the versions of a claim line, the highest counts. So it does not matter how often a decision is
delivered, nor in which order.
"""

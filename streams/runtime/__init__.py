"""Exactly-once lanes on top of Faust: transport, transactions, patient table, recovery, dead letters, health.

Knows nothing of billing: `processor` is the seam. How the parts fit, in the order in which a record meets them:

    transport       Faust's consumer, changed: what one fetch returned, with the positions before and after it
    fetched         a fetched record, made as the lanes have it
    inbox           a lane's input: cut into bounded pieces, handed out as an unbroken chain
    processor       what makes outputs and changed values of records; the seam
    lane            the owner of one partition: open, batch after batch, release, doubt
    transactions    the worker's transactions, shared by its lanes; whose a partition is
    producer        what speaks Kafka's protocol of transactions
    table, stores   its part of the patient table, and the local copy of it
    recovery, position, start_position    how a lane that opens gets there
    lanes           all lanes of a worker, through rebalances
    reference       topics that every worker reads as a whole
    dead_letters    records that cannot be used
    failure         the one way out
    lane_app, worker, health    the Faust app, its process, its HTTP endpoint
"""

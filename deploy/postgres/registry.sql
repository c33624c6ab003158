-- Run by the image when its data folder is new. The schema registry gets a database of its own beside the ledger's.
CREATE DATABASE registry;

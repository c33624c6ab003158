"""Claims as the world sends them, X12 837P and FHIR R4, made into claim-received events. docs/importing.md has the mappings."""

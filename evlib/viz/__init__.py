"""Pictures for people: knows frames, tables and networks; no reader, no data set."""

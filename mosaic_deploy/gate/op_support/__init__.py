"""What compilers take: op tables, their rules and constraints, and the judge."""

"""Training of any zoo network on any data set: ``config``, ``augment``, ``losses``, ``state``, ``loop``."""

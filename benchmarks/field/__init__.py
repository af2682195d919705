"""The field bench: networks that nobody here wrote, on every target, from verdict to figures."""

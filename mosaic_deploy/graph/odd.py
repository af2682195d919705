"""Graphs that are sound ONNX and yet not what a rewrite expects."""

ODD = (ArithmeticError, LookupError, StopIteration, TypeError, ValueError)
"""What Python and numpy raise where a rewrite meets a bound of two numbers, or an axis that is not there.

A rewrite that meets one has decided nothing yet, and walks away from the node.
"""

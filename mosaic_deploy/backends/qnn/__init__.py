"""Qualcomm QNN: the Hexagon compiler and its simulator."""

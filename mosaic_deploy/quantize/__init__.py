"""Quantisation that more than one runtime shares: calibration, QDQ, borders."""

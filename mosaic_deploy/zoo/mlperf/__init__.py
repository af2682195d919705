"""MLPerf's official MOSAIC, imported."""

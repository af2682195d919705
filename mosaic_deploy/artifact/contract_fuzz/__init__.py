"""What each usual mistake in feeding or reading an artifact costs, measured on the artifact itself."""

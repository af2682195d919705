"""From a request to artifacts: plan, pipeline, one target's build, report."""

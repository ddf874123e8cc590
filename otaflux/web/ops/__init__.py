"""What operators ask: metrics, readiness, status and the page."""

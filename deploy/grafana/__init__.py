"""Grafana: dashboards as code. `make dashboards` writes the JSON that is provisioned."""

"""Starts the servers before any other test code is imported: see iotportal/embedded/pytest_plugin.py."""

pytest_plugins = ["iotportal.embedded.pytest_plugin", "iotportal.embedded.pytest_database"]

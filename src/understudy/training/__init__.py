"""Losses, schedules and the processes that train."""

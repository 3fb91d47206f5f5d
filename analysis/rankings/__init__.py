"""Configurations beside each other: tables that rank, and all of them in one."""

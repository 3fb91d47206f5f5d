"""Servers on another machine, over the system's OpenSSH."""

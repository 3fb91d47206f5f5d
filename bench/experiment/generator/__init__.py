"""The load generator as a process: how it is started, told what to do, and listened to."""

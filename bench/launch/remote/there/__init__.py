"""What runs on another machine for a bench here, from a copy of a part of the suite; it needs psutil
alone.
"""

"""Servers side by side: which loads rotate, sittings, and when the rotation is precise enough."""

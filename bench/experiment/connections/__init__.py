"""What connections meet, beside what requests do: pauses, bursts, more of them than fit."""

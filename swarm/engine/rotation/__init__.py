"""The engine in a rotation: the timetable, its rounds, and the clocks read at its edges."""

"""Pictures and tables of what `analysis.recycling` found."""

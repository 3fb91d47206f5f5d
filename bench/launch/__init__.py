"""How servers, databases and the suite's own programs are brought up: environments and launchers."""

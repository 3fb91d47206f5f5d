"""Users written as generators, and what goes wrong in a locustfile's code."""

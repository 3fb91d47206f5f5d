"""What is measured: the Sanic app, its worker configurations, and the process that serves them."""

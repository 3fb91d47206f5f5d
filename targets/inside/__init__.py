"""What runs inside of a server's workers, beside the app: what it says of itself, and settings it makes."""

"""What users bring: an app of their own, and the packages that it or locustfiles need."""

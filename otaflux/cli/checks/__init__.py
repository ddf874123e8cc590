"""What `otaflux check` tries, a module for each thing."""

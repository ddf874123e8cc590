"""The MQTT broker: what devices are told, said there too, and what replicas tell each other."""

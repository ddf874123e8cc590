"""One run of a device: which tags are looked at, what is pulled, what its channels are told."""

"""The addresses of hooks: receiver, proof of the secret, and the log of rejections."""

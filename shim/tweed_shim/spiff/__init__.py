"""The dynaml language of spiff: templates in, plain data out."""

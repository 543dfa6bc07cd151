"""The ground floor: files, records, text, settings and the trace. It knows nothing of images, hosts or contracts."""

"""What client, server and export share of TensorFlow Serving's protocol."""

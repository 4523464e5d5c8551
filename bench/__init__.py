"""What a durable record costs, side by side with what people know: see README.md."""

"""What happens to records on their way into a batch: order, augmentation, memory."""

"""Models of tables: columns of numbers, text and gaps in, predictions out."""

"""What came of training on a table, as one page: its text, its charts, its look."""

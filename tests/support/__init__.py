"""What the tests share: bounded clients, serving threads, leak snapshots, request handlers."""

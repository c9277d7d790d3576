"""What runs inside the peers, in their environments: nothing here imports the rest of the harness."""

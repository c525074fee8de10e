"""What the README claims, measured: each module runs ours and the alternative in one process and prints the ratio."""

"""The imaging client: the program that runs in the boot environment on the target PC."""

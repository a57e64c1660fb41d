"""The command line: `scone`. Commands parse, call, print; what they decide lies in `client`."""

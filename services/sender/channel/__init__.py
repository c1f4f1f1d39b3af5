"""The sending channel to one provider: connections, rate, circuit, stop."""

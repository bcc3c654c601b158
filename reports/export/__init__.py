"""The joint draws in the formats that analysts use."""

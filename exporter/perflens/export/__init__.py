"""What leaves the agent."""

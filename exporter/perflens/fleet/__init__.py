"""The analyzer beside a fleet: reads the incidents of many agents, and makes one of those that are one."""

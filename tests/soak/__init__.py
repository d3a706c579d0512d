"""The soak: thousands of invocations with random faults and kills, nothing lost, nothing growing."""

"""What the API answers, in other forms: lines for people, tables, stacks for flame graphs, and the same without names."""

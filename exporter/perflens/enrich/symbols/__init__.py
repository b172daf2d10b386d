"""Names of stack frames: kernel functions from kallsyms, user functions from the files that processes run.

Whatever comes from a process is hostile, so it is read in a helper process (helper.py) that can be killed at any time.
Modules that the helper loads import next to nothing: its memory is the price of each of them.
"""

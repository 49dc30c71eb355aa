"""`chain-node up`: all nodes of a network on this machine as real processes.

children   the processes: started, hurt, stopped, and none outlives its parent
status     what the running nodes answer about themselves, as a table
screen     one log of all of them, with the table below it on a terminal
control    orders from a second command, and from the keyboard
command    the arguments, and everything put together
"""

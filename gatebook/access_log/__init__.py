"""The load balancer's access log: a line a request, in pieces that are rotated by renaming.

pieces      which there are, in what order, and how they are opened
line        how a line begins and ends
span        where in a piece the lines of some time lie
"""

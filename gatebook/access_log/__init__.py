"""The load balancer's access log: a line a request, in pieces that are rotated by renaming.

pieces      which there are, in what order
line        how a line begins, how a piece is opened
span        where in a piece the lines of some time lie
"""

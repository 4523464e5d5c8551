"""The read side's HTTP interface: routers, one a resource, and what they have in common.

application     puts the parts together
requests        /_/api/requests: find, one, its body, its neighbours
counts          /_/api/counts
events          /_/api/events, which gatebook.viewer.events feeds
filter, audit   /_/api/filter, /_/api/audit
metrics         /_/metrics
docs, openapi   the interface, described
parameters      what a query string may ask for
problem         every error
told            an answer that tells how far it is
envelope        what surrounds every answer
"""

"""The audit: what the load balancer acknowledged, by its log, against what is recorded."""

from gatebook.viewer.audit.audit import Audit as Audit

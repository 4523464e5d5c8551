"""Filters: one grammar for the API, live events and the command line. Pure: knows no HTTP and no connection."""

from gatebook.filter.blocks import Needed as Needed
from gatebook.filter.blocks import block_condition as block_condition
from gatebook.filter.blocks import needed as needed
from gatebook.filter.error import FilterError as FilterError
from gatebook.filter.expression import EVERYTHING as EVERYTHING
from gatebook.filter.expression import And as And
from gatebook.filter.expression import Expression as Expression
from gatebook.filter.expression import Not as Not
from gatebook.filter.expression import Or as Or
from gatebook.filter.expression import Term as Term
from gatebook.filter.expression import is_heavy as is_heavy
from gatebook.filter.fields import FIELDS as FIELDS
from gatebook.filter.parameters import Parameters as Parameters
from gatebook.filter.parse import parse as parse
from gatebook.filter.span import span as span
from gatebook.filter.sql import condition as condition
from gatebook.filter.terms import terms as terms

"""Finding and counting what a filter matches.

search, counting    what is asked for: a page, or numbers
walk                goes through all that can match, window by window
candidates          where that is, as the search index tells
asked               what a filter asks of the index
reading             the statements of one filter
"""

from gatebook.viewer.search.search import Search as Search

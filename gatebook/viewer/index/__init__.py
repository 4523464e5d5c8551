"""The search index: for blocks of some thousand requests each, which terms (gatebook.filter.terms) are in them.

keeping     has it filled for as long as the viewer runs
filling     one step of that, and another
blocks      the blocks themselves, and what a chunk of them can tell
"""

from gatebook.viewer.index.keeping import keep_filling as keep_filling

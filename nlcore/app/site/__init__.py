"""The report: figures/index.html and the pages it links, made from what lies in figures/ and notebooks/.

Pages open from disk: nothing in them needs a server or a network.
"""

from nlcore.app.site.build import build, reportable, write_notebook_page

__all__ = ["build", "reportable", "write_notebook_page"]
